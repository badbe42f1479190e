import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { WebSocket } from "ws";
import { z } from "zod";
import { GatewayError } from "../../src/gateways/driver.ts";
import { listGatewayAgents } from "../../src/gateways/openclaw/agents.ts";
import { asker } from "../../src/gateways/openclaw/ask.ts";
import { readGatewayConfig } from "../../src/gateways/openclaw/config.ts";
import { until } from "../support/await.ts";
import { inState, LinkStand } from "../support/link-stand.ts";
import { assertShortTurns } from "../support/longest-turn.ts";
import { helloFor, ScriptedGateway } from "../support/scripted-gateway.ts";
import { seeded } from "../support/seeded.ts";

const anything = z.unknown();
const permanent = (error: unknown) => error instanceof GatewayError && !error.transient;
const MIB = 1_048_576;

async function enter(t: TestContext) {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  return { gateway, stand, link: await stand.ready(gateway.url) };
}

/** An answer of a good form around a payload that is not. */
const answerWith = (id: string, payload: Buffer) =>
  Buffer.concat([Buffer.from(`{"type":"res","id":"${id}","ok":true,"payload":`), payload, Buffer.from("}")]);

const SHAPES: Record<string, (bytes: number) => Buffer> = {
  "nested arrays": (bytes) => Buffer.concat([Buffer.alloc(bytes / 2, "["), Buffer.alloc(bytes / 2, "]")]),
  "empty objects": (bytes) => Buffer.from(`[${"{},".repeat(bytes / 3)}{}]`),
  "empty keys": (bytes) => Buffer.from(`{${'"":0,'.repeat(bytes / 5)}"":0}`),
  numbers: (bytes) => Buffer.from(`[${"1,".repeat(bytes / 2)}1]`),
  "one text": (bytes) => Buffer.from(`"${"\\u0000".repeat(bytes / 6)}"`),
};

test("a large frame that nothing large was asked with ends the connection, and is not read", async (t) => {
  for (const [shape, make] of Object.entries(SHAPES)) {
    const payload = make(12 * MIB);
    const frame = Buffer.concat([Buffer.from('{"type":"event","event":"x","payload":'), payload]);
    await assertShortTurns(shape, async () => {
      const { gateway, stand, link } = await enter(t);
      gateway.answer = () => {};
      const failed = assert.rejects(link.request("chat.send", {}, anything), /lost|given up/);
      const before = process.memoryUsage.rss();
      gateway.peer.send(frame, { binary: false });
      await inState(link, "backing_off");
      await failed;
      assert.ok(process.memoryUsage.rss() - before < 200 * MIB, shape);
      assert.match(link.status.last_error ?? "", /not asked for/);
      const wait = Date.parse(link.status.next_try_at ?? "") - stand.clock.now();
      assert.ok(wait >= 60_000, `left alone for ${wait} ms`);
    });
  }
});

test("a frame in pieces that never ends is cut off like a whole one", async (t) => {
  const { gateway, link } = await enter(t);
  const { peer } = gateway;
  const piece = Buffer.alloc(65_536, " ");
  const more = () => {
    if (link.status.state === "ready") peer.send(piece, { fin: false, binary: false }, more);
  };
  more();
  await inState(link, "backing_off");
  assert.match(link.status.last_error ?? "", /not asked for/);
});

test("a large answer is read in slices, and what is too much is refused", async (t) => {
  const { gateway, link } = await enter(t);
  for (const [shape, make] of Object.entries(SHAPES)) {
    const payload = make(12 * MIB);
    for (const method of shape === "empty objects" ? ["agents.list", "chat.history"] : ["config.get"]) {
      gateway.answer = ({ id }, peer) => peer.send(answerWith(id, payload), { binary: false });
      await assertShortTurns(`${shape} for ${method}`, async () => {
        await link.request(method, {}, z.object({ agents: z.string() })).then(
          () => assert.fail("it has that form"),
          (error: unknown) => assert.ok(permanent(error), String(error)),
        );
      });
    }
  }
  assert.equal(link.status.state, "ready");
  // A large frame is no answer to what has a small one, also while a large one is awaited.
  gateway.answer = ({ id, method }, peer) => {
    if (method === "chat.send") peer.send(answerWith(id, Buffer.alloc(2 * MIB, " ")), { binary: false });
  };
  const both = Promise.allSettled([
    link.request("config.get", {}, anything),
    link.request("chat.send", {}, anything),
  ]);
  await inState(link, "backing_off");
  assert.deepEqual(
    (await both).map(({ status }) => status),
    ["rejected", "rejected"],
  );
});

test("a configuration with 300,000 agents is read without holding the event loop", async (t) => {
  const { gateway, link } = await enter(t);
  const heartbeat = { every: "10m" };
  const list = Array.from({ length: 300_000 }, (_, n) => ({ id: `agent-${n}`, heartbeat }));
  const bytes = Buffer.from(
    JSON.stringify({ raw: "{".repeat(MIB), hash: "h", config: { agents: { list } } }),
  );
  gateway.answer = ({ id }, peer) => peer.send(answerWith(id, bytes), { binary: false });
  await assertShortTurns("config.get", async () => {
    const config = await readGatewayConfig(
      asker(() => link),
      { protocol: 4, version: null },
    );
    assert.deepEqual([config.hash, config.kind, config.list.length], ["h", "list", 300_000]);
    assert.deepEqual(config.entries.get("agent-299999")?.heartbeat, heartbeat);
  });
  assert.equal(link.status.state, "ready");
});

test("what comes behind a large answer waits for it, and is not lost", async (t) => {
  const { gateway, stand, link } = await enter(t);
  const agents = Array.from({ length: 40_000 }, (_, n) => ({ id: `agent-${n}` }));
  gateway.answer = ({ id, method }, peer) => {
    if (method !== "agents.list") return void peer.send(JSON.stringify({ type: "res", id, ok: true }));
    gateway.tell("before");
    peer.send(JSON.stringify({ type: "res", id, ok: true, payload: { agents } }));
    for (let n = 0; n < 100; n++) gateway.tell(`after ${n}`);
  };
  const listed = listGatewayAgents(asker(() => link));
  assert.equal(await link.request("chat.send", {}, anything), undefined);
  assert.equal((await listed).length, 40_000);
  assert.deepEqual(
    stand.events.map(({ event }) => event),
    ["before", ...Array.from({ length: 100 }, (_, n) => `after ${n}`)],
  );
});

test("endless small frames, pings and rubbish end the connection, and dialling again brings no more", async (t) => {
  const event = JSON.stringify({ type: "event", event: "x" });
  const floods: Record<string, (peer: WebSocket) => void> = {
    events: (peer) => peer.send(event),
    answers: (peer) => peer.send('{"type":"res","id":"0","ok":true}'),
    rubbish: (peer) => peer.send("{"),
    binary: (peer) => peer.send(Buffer.alloc(1)),
    pings: (peer) => peer.ping(),
    pongs: (peer) => peer.pong(),
  };
  for (const [what, flood] of Object.entries(floods)) {
    await assertShortTurns(what, async () => {
      const { gateway, stand, link } = await enter(t);
      const { peer } = gateway;
      while (link.status.state === "ready") {
        for (let n = 0; n < 100; n++) flood(peer);
        await new Promise(setImmediate);
      }
      assert.match(link.status.last_error ?? "", /more than it was asked for/, what);
      assert.ok(stand.events.length <= 10_000);
      link.reconnect();
      await inState(link, "backing_off");
      assert.match(link.status.last_error ?? "", /more than it was asked for/, what);
    });
  }
});

test("a gateway that does not read what it is sent is given up", async (t) => {
  const { gateway, link } = await enter(t);
  gateway.greet = () => helloFor({ policy: { maxPayload: 1e15 } });
  link.reconnect();
  await until(() => link.status.state === "ready" && gateway.connects.length === 2, { what: "the link" });
  await until(() => gateway.peers.size === 1, { what: "one connection" });
  gateway.peer.pause();
  const asked: Promise<unknown>[] = [];
  const text = "x".repeat(20 * MIB);
  for (let n = 0; n < 8; n++) asked.push(link.request("agents.files.set", { text }, anything));
  const outcomes = await Promise.allSettled(asked);
  assert.ok(outcomes.every(({ status }) => status === "rejected"));
  assert.match(link.status.last_error ?? "", /does not read/);
});

test("a handshake that never ends is ended, however busy the gateway is with it", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  gateway.greet = () => null;
  const stand = await LinkStand.open(t);
  const link = stand.links.of(await stand.gateway(gateway.url));
  await until(() => gateway.connects.length === 1, { what: "the handshake" });
  for (let n = 0; n < 50; n++) gateway.tell("connect.challenge", { nonce: "again", ts: n });
  stand.clock.advance(9_999);
  assert.equal(link.status.state, "connecting");
  stand.clock.advance(1);
  assert.equal(link.status.state, "backing_off");
  // Or is too large.
  gateway.greet = () => helloFor({ snapshot: "x".repeat(2 * MIB) });
  link.reconnect();
  await inState(link, "backing_off");
  assert.match(link.status.last_error ?? "", /not asked for/);
});

test("what a gateway says is bounded, and cannot be obeyed by a terminal", async (t) => {
  const { gateway, stand, link } = await enter(t);
  const said = async (error: object) => {
    gateway.answer = ({ id }, peer) => peer.send(JSON.stringify({ type: "res", id, ok: false, error }));
    return link.request("config.patch", {}, anything).then(
      () => assert.fail("it was not refused"),
      (thrown: unknown) => String(thrown),
    );
  };
  const odd = "\u0000\u001b[2J\u009b\u202e\u2028\ud800 end";
  const shown = await said({ code: odd, message: odd });
  assert.match(shown, /\\u0000\\u001b\[2J\\u009b\\u202e\\u2028.+ end/);
  assert.ok(shown.isWellFormed());
  for (const message of ["long ".repeat(10_000), "\u0007".repeat(10_000), "long ".repeat(200_000)])
    assert.ok((await said({ code: "X", message })).length <= 1_100);
  gateway.greet = () => ({
    error: { code: "NOT_PAIRED", message: odd, details: { requestId: "1; rm -rf ~" } },
    close: [1008, "no"],
  });
  link.reconnect();
  const status = await inState(link, "refused");
  assert.match(status.last_error ?? "", /^\\u0000/);
  assert.doesNotMatch(JSON.stringify(status), /rm -rf/);
  gateway.greet = () => null;
  link.reconnect();
  await until(() => gateway.peers.size === 1 && gateway.connects.length === 3, { what: "the handshake" });
  gateway.drop(1008, "\u001b[31m");
  assert.match((await inState(link, "refused")).last_error ?? "", /\\u001b\[31m/);
  assert.ok(stand.logged.length < 100_000);
});

test("whatever an answer is made of, the link goes on with the next one", async (t) => {
  const random = seeded(t);
  const { gateway, link } = await enter(t);
  const good = JSON.stringify({
    agents: Array.from({ length: 2_000 }, (_, n) => ({
      id: `a${n}`,
      name: `\u00e9"\\${n}`,
      workspace: null,
    })),
    config: { agents: { entries: { main: { heartbeat: {} } } } },
  });
  const signs = '{}[],:"\\0eE-+.tfn \u0000';
  const anyPlace = () => Math.floor(random() * good.length);
  const mutated = () => {
    let text = good;
    for (let n = 0; n < 3; n++) {
      const at = anyPlace();
      const sign = signs[Math.floor(random() * signs.length)] ?? "";
      text = random() < 0.3 ? text.slice(0, at) : text.slice(0, at) + sign + text.slice(at + 1);
    }
    return text;
  };
  for (let round = 0; round < 100; round++) {
    const text = mutated();
    gateway.answer = ({ id, method }, peer) => {
      if (method === "config.get") peer.send(`{"type":"res","id":"${id}","ok":true,"payload":${text}}`);
      else peer.send(JSON.stringify({ type: "res", id, ok: true, payload: round }));
    };
    const asked = new AbortController();
    const { signal } = asked;
    const outcome = link.request("config.get", {}, anything, { signal }).catch(() => "refused");
    assert.equal(await link.request("chat.send", {}, anything), round);
    // What is no frame at all answers nothing.
    asked.abort();
    await outcome;
  }
  assert.equal(link.status.state, "ready");
});
