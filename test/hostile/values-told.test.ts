import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Packr } from "msgpackr";
import { until } from "../support/await.ts";
import { assertError, assertLives } from "../support/hostile.ts";
import { startTestServer } from "../support/server.ts";
import type { Message, Wire } from "../support/wire.ts";

const packr = new Packr({ useRecords: false });
const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const GOOD = { id: "good", method: "organization.get", params: {} };

/** Values as their bytes, with the path below the member that holds them, or null where they are good. */
type Values = Record<string, [written: string | Uint8Array, path: string | null]>;

const JSON_VALUES: Values = {
  "half a surrogate pair": ['{"a":"\\ud800"}', "a"],
  "half a surrogate pair in a key": ['{"\\udfff":1}', ""],
  "a number beyond 2^53": ['{"a":[1,90071992547409930]}', "a.1"],
  infinity: ['{"a":1e999}', "a"],
  __proto__: ['{"a":{"__proto__":{"polluted":1}}}', "a"],
  "too deep": [`{"a":${"[".repeat(40)}${"]".repeat(40)}}`, `a${".0".repeat(30)}`],
  "a key constructor": ['{"constructor":{"prototype":{"polluted":1}}}', null],
  "a key twice": ['{"a":1,"a":2}', null],
};
const PACKED_VALUES: Values = {
  "an unsigned number beyond 2^53": [hex("81 a1 61 cf ffffffffffffffff"), "a"],
  "a signed number beyond 2^53": [hex("81 a1 61 d3 8000000000000000"), "a"],
  NaN: [hex("81 a1 61 cb 7ff8000000000000"), "a"],
  "a timestamp": [hex("81 a1 61 d6 ff 00000000"), "a"],
  "another extension": [hex("81 a1 61 92 01 c7 02 05 0000"), "a.1"],
  "a record definition": [hex("81 a1 61 d4 72 40"), "a"],
  "text that is not UTF-8": [hex("81 a1 61 a2 c328"), "a"],
  "a key that is a number": [hex("81 a1 61 81 01 02"), "a"],
  __proto__: [hex("81 a1 61 81 a9 5f5f70726f746f5f5f 80"), "a"],
  "bytes in a free value": [hex("81 a1 61 c4 01 00"), "a"],
  "too deep": [Buffer.concat([hex("81 a1 61"), Buffer.alloc(40, 0x91), hex("00")]), `a${".0".repeat(30)}`],
  "a key constructor": [hex("81 ab 636f6e7374727563746f72 01"), null],
  "a key twice": [hex("82 a1 61 01 a1 61 02"), null],
};

/** A message of text members, with one more that is written already, in either codec. */
function messageWith(codec: "json" | "msgpack", members: object, name: string, written: string | Uint8Array) {
  if (codec === "json") return `${JSON.stringify(members).slice(0, -1)},"${name}":${written}}`;
  const packed = Object.entries(members).flatMap(([key, value]) => [
    packr.pack(key).slice(),
    packr.pack(value).slice(),
  ]);
  return Buffer.concat([
    Buffer.from([0x80 + packed.length / 2 + 1]),
    ...packed,
    packr.pack(name).slice(),
    Buffer.from(written),
  ]);
}

/** Params that are one member. */
const paramsOf = (codec: "json" | "msgpack", name: string, written: string | Uint8Array) =>
  codec === "json"
    ? `{"${name}":${written}}`
    : Buffer.concat([Buffer.from([0x81]), packr.pack(name).slice(), Buffer.from(written)]);

const batchOf = (codec: "json" | "msgpack", frames: readonly (string | Uint8Array)[]) =>
  codec === "json"
    ? `[${frames.join(",")}]`
    : Buffer.concat([Buffer.from([0x90 + frames.length]), ...frames.map((frame) => Buffer.from(frame))]);

async function withAgent(t: TestContext, codec: "json" | "msgpack") {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Worker", board_id: board.id });
  return { server, owner, agent_id: String(agent.id), worker: await server.wire({ codec, token }) };
}

async function answered(wire: Wire, id: string, from: number): Promise<Message> {
  return wire.next(`the answer to ${id}`, (message) => message.id === id, from);
}

for (const codec of ["json", "msgpack"] as const) {
  const values = Object.entries(codec === "json" ? JSON_VALUES : PACKED_VALUES);

  test(`what is wrong with a value is told to the one who asked, with its path (${codec})`, async (t) => {
    const { server, worker } = await withAgent(t, codec);
    for (const [about, [written, path]] of values) {
      const members = { id: about, method: "heartbeat" };
      const bad = messageWith(codec, members, "params", paramsOf(codec, "stats", written));
      const from = worker.received.length;
      worker.sendRaw(bad);
      const answer = await answered(worker, about, from);
      if (path === null) assert.ok(answer.result, about);
      else {
        assertError(answer, "invalid_params", about);
        assert.equal(answer.error.data.issues[0].path, path === "" ? "stats" : `stats.${path}`, about);
      }
      // The others in its batch are not in its way.
      const next = worker.received.length;
      const good = codec === "json" ? JSON.stringify(GOOD) : packr.pack(GOOD).slice();
      worker.sendRaw(batchOf(codec, [bad, good]));
      assert.deepEqual((await answered(worker, about, next)).error, answer.error, about);
      assertError(await answered(worker, GOOD.id, next), undefined, "an agent reads no organization");
    }
    assert.equal(Object.hasOwn(Object.prototype, "polluted"), false);
    await assertLives(server, await server.wire());
  });

  test(`B13 an answer with such a value, or that is none, ends the command and says why (${codec})`, async (t) => {
    const { server, owner, agent_id, worker } = await withAgent(t, codec);
    const wholes: [string, object][] = [
      ["neither result nor error", {}],
      ["both", { result: 1, error: { code: 1, message: "x" } }],
      ["an error that is text", { error: "no" }],
      ["an error without a code", { error: { message: "no" } }],
    ];
    const answers: [string, (id: string) => string | Uint8Array, isGood: boolean][] = [
      ...values.map(([about, [written, path]]): (typeof answers)[number] => [
        about,
        (id) => messageWith(codec, { id }, "result", written),
        path === null,
      ]),
      ...wholes.map(([about, rest]): (typeof answers)[number] => [
        about,
        (id) => (codec === "json" ? JSON.stringify({ id, ...rest }) : packr.pack({ id, ...rest }).slice()),
        false,
      ]),
    ];
    for (const [about, frameOf, isGood] of answers) {
      const from = worker.received.length;
      const live = owner.call("agent.command", { agent_id, name: "do" });
      const { id } = await worker.next("the command", ({ method }) => method === "command", from);
      worker.sendRaw(frameOf(id));
      const { status, error } = await live;
      assert.equal(status, isGood ? "completed" : "failed", about);
      if (!isGood) assert.match(error.message, /must/, about);
    }
    // More of them than an agent has in hand at a time.
    const ids: string[] = [];
    const from = worker.received.length;
    worker.socket.on("message", () => {
      for (const message of worker.received.splice(from))
        if (message.method === "command") worker.sendRaw(answers[0]?.[1](message.id) ?? "");
    });
    for (let i = 0; i < 40; i++)
      ids.push((await owner.call("agent.command", { agent_id, name: "do", delivery: "queued" })).command_id);
    for (const command_id of ids)
      await until(async () => (await owner.call("command.get", { command_id })).command.status === "failed", {
        what: "each queued command to have failed",
      });
    await assertLives(server, owner);
  });
}
