import assert from "node:assert/strict";
import { test } from "node:test";
import { Packr, Unpackr } from "msgpackr";
import { ALL_METHODS, exampleOf, makeWorld } from "./support/examples.ts";
import { assertAnswer, assertLives, randomOf } from "./support/hostile.ts";
import { damaged, HOSTILE_CURSORS, HOSTILE_VALUES, mutated, pick } from "./support/mutations.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

const SEED = Number(process.env.MUSTER_FUZZ_SEED ?? 20_300_101);
/** Requests under way at a time: below what a session may have. */
const AT_ONCE = 48;
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });
const packr = new Packr({ useRecords: false });

/** Runs work for every item, several at a time. */
async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const one = async () => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) await work(item);
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, one));
  // All that failed at once, not the first alone: one run shows as much as it can.
  const failures = ends.flatMap((end) => (end.status === "rejected" ? [end.reason] : []));
  if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join("\n"));
}

/** Whether a message is more than a session without a token may send in a frame. */
const isLarge = (message: Message) => Buffer.byteLength(JSON.stringify(message)) > 12_000;

/** A request's answer; what has lost its method is no request, and has no answer of its own to wait for. */
async function judge(wire: Wire, message: Message): Promise<void> {
  const about = JSON.stringify(message).slice(0, 600);
  const answer = await wire.ask(message);
  assert.notEqual(answer.error?.data?.reason, "closed", `the session was closed by ${about}`);
  assertAnswer(answer, about);
}

async function parties(server: TestServer, codec: "json" | "msgpack") {
  const owner = await server.wire({ codec });
  const world = await makeWorld(server, owner);
  const agent = await server.wire({ codec, token: world.agentToken });
  const host = await server.wire({ codec, token: null });
  // Whichever of them carries an agent in the end: what it is asked it answers, so that nobody waits.
  for (const wire of [owner, agent, host])
    wire.socket.on("message", (data: Buffer) => {
      const message = codec === "json" ? JSON.parse(data.toString()) : unpackr.decode(data);
      if (message.method !== undefined && message.id !== undefined) wire.send({ id: message.id, result: {} });
    });
  return { owner, agent, host, world };
}

for (const codec of ["json", "msgpack"] as const)
  test(`every field of every method survives every hostile value (${codec})`, async (t) => {
    const server = await startTestServer(t);
    const { owner, world } = await parties(server, codec);
    const requests: Message[] = [];
    for (const method of ALL_METHODS) {
      if (method === "agent.delete") continue;
      for (const name of Object.keys(exampleOf(method, world).params))
        for (const value of name === "cursor" ? [...HOSTILE_VALUES, ...HOSTILE_CURSORS] : HOSTILE_VALUES) {
          const { params } = exampleOf(method, world);
          requests.push({ method, params: { ...params, [name]: value } });
        }
    }
    await inParallel(requests, (message) => judge(owner, message));
    await assertLives(server, owner);
  });

for (const codec of ["json", "msgpack"] as const)
  test(`thousands of random changes to good requests are answered by the table (${codec})`, async (t) => {
    t.diagnostic(`MUSTER_FUZZ_SEED=${SEED}`);
    const server = await startTestServer(t);
    const random = randomOf(SEED);
    const { owner, agent, host, world } = await parties(server, codec);
    const messages = Array.from({ length: 3_000 }, () => {
      const wire = pick([owner, owner, agent, host], random);
      const message = mutated(exampleOf(pick(ALL_METHODS, random), world), random);
      // A larger frame of a session without a token closes it, which other tests look at.
      return { wire: wire === host && isLarge(message) ? owner : wire, message };
    });
    await inParallel(messages, async ({ wire, message }) => {
      // Without a method it may be an answer to nobody's question, which is not answered.
      if (message.method === undefined || "result" in message || "error" in message) wire.send(message);
      else await judge(wire, message);
    });
    for (const wire of [owner, agent, host])
      for (const message of wire.received) if (message.error) assertAnswer(message);
    await assertLives(server, owner);
  });

for (const codec of ["json", "msgpack"] as const)
  test(`damaged frames of every method never end the server (${codec})`, async (t) => {
    t.diagnostic(`MUSTER_FUZZ_SEED=${SEED}`);
    const server = await startTestServer(t);
    const random = randomOf(SEED + 1);
    const { owner, agent, world } = await parties(server, codec);
    for (let round = 0; round < 60; round++) {
      for (const method of ALL_METHODS) {
        const good = { id: `r${round}`, ...exampleOf(method, world) };
        const frame = codec === "json" ? Buffer.from(JSON.stringify(good)) : packr.encode(good);
        const bad = damaged(frame, random);
        const wire = pick([owner, agent], random);
        // Text frames that are not UTF-8 are for the socket itself to refuse.
        wire.sendRaw(codec === "json" ? bad.toString() : bad);
      }
      await assertLives(server, owner);
      await agent.ask({ method: "agent.get", params: {} });
      // Who sends rubbish all the time is closed.
      server.clock.advance(1_001);
    }
    for (const wire of [owner, agent])
      for (const message of wire.received) if (message.method === undefined) assertAnswer(message);
  });

test("random first messages are answered and end with a close code", async (t) => {
  t.diagnostic(`MUSTER_FUZZ_SEED=${SEED}`);
  const server = await startTestServer(t);
  const random = randomOf(SEED + 2);
  const { owner, world } = await parties(server, "json");
  await inParallel(
    Array.from({ length: 300 }, (_, index) => index),
    async () => {
      const wire = await server.connect({ codec: pick(["json", "msgpack"], random) });
      const message = mutated(exampleOf(pick(["hello", "hello", "agent.get"], random), world), random);
      if (isLarge(message)) return wire.end();
      const answer = await wire.ask(message);
      if (answer.error?.data?.reason === "closed")
        assert.fail(`a close comes after the error that explains it: ${answer.error.code}`);
      assertAnswer(answer);
      wire.end();
    },
  );
  await assertLives(server, owner);
});
