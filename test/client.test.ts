import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/client/backoff.ts";
import { clientClock } from "../src/client/clock.ts";
import { connect, MusterError } from "../src/client/index.ts";
import { socketUrl } from "../src/client/socket.ts";
import { open, reasonIs, start } from "./support/client-fixture.ts";
import { agentRecord, fakeServer, ID, userHello } from "./support/fake-server.ts";
import { TurnedClock } from "./support/turned-clock.ts";

test("addresses: http and ws are the same, the path is added once", () => {
  assert.equal(socketUrl("http://h:1"), "ws://h:1/v1/socket");
  assert.equal(socketUrl("https://h/base/"), "wss://h/base/v1/socket");
  assert.equal(socketUrl("ws://h/v1/socket"), "ws://h/v1/socket");
  assert.throws(() => socketUrl("ftp://h"), reasonIs("invalid_params"));
  assert.throws(() => socketUrl("nonsense"), reasonIs("invalid_params"));
});

test("pauses double up to a ceiling, with full jitter, and start over after a success", () => {
  const greatest = new Backoff(() => 1);
  assert.deepEqual(
    Array.from({ length: 7 }, () => greatest.next()),
    [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000],
  );
  greatest.reset();
  assert.equal(greatest.next(), 1_000);
  assert.equal(new Backoff(() => 0).next(), 0);
  assert.equal(new Backoff(() => 0.25).next(7_000), 7_250);
});

test("a timer beyond what the platform can count does not fire at once", async () => {
  let fired = false;
  const cancel = clientClock.after(2 ** 40, () => {
    fired = true;
  });
  await new Promise<void>((resolve) => clientClock.after(5, resolve));
  cancel();
  assert.equal(fired, false);
});

test("hello carries token and name; requests are answered by both codecs", async (t) => {
  const server = await start(t, {
    "agent.get": (params) => ({ agent: agentRecord(1, { name: params.agent_id }) }),
  });
  for (const [index, codec] of (["json", "msgpack"] as const).entries()) {
    const client = await connect({
      url: server.url,
      token: "t",
      codec,
      client: { name: "me", version: "1" },
    });
    t.after(() => client.close());
    const session = await server.session(index);
    assert.equal(session.codec.name, codec);
    assert.deepEqual(await session.received("hello"), { token: "t", client: { name: "me", version: "1" } });
    assert.equal(client.hello?.principal.kind, "user");
    assert.equal((await client.request("agent.get", { agent_id: ID })).agent.name, ID);
    await assert.rejects(client.request("agent.delete", { agent_id: ID }), reasonIs("method_not_found"));
  }
});

test("an answer that is none of the protocol is an error, not a value", async (t) => {
  const { client } = await open(t, await start(t, { "agent.get": () => ({ agent: { name: 5 } }) }));
  await assert.rejects(client.request("agent.get", { agent_id: ID }), reasonIs("internal"));
});

test("connect rejects when the token is refused, and does not try again", async (t) => {
  const server = await start(t, {
    hello: (_params, session) => {
      setImmediate(() => session.close(4401, "unauthenticated"));
      throw new MusterError("unauthenticated", "no such token");
    },
  });
  const clock = new TurnedClock();
  await assert.rejects(connect({ url: server.url, clock }), (error) => {
    assert.match(String(error), /no such token/);
    return reasonIs("unauthenticated")(error);
  });
  clock.advance(600_000);
  assert.equal(server.sessions.length, 1);
});

test("connect rejects when nobody answers", async () => {
  const server = await fakeServer();
  await server.close();
  const clock = new TurnedClock();
  await assert.rejects(connect({ url: server.url, clock }), reasonIs("unavailable"));
  assert.equal(clock.timers, 0);
});

test("a lost connection is made again after a jittered pause, a drain is honoured", async (t) => {
  const server = await start(t);
  const { clock, states, session } = await open(t, server);
  session.notify("drain", { reconnect_after_ms: 5_000 });
  session.close(1001, "going away");
  assert.equal((await states.next("disconnected")).retryInMs, 5_500);
  clock.advance(5_499);
  assert.equal(server.sessions.length, 1);
  clock.advance(1);
  await states.next("connected", 1);
  // That connection did not stand long: the next pause is a longer one, and the drain is forgotten.
  (await server.session(1)).close();
  assert.equal((await states.next("disconnected", 1)).retryInMs, 1_000);
  clock.advance(1_000);
  await states.next("connected", 2);
  clock.advance(10_000);
  (await server.session(2)).close();
  assert.equal((await states.next("disconnected", 2)).retryInMs, 500);
});

for (const code of [4400, 4401, 4403])
  test(`close code ${code} is the end: no reconnect, requests fail`, async (t) => {
    const server = await start(t);
    const { client, clock, states, session } = await open(t, server);
    session.close(code, "because");
    const { why } = await states.next("closed");
    assert.match(why?.message ?? "", new RegExp(`${code}: because`));
    assert.equal(why?.reason, code === 4400 ? "invalid_request" : "unauthenticated");
    await assert.rejects(client.request("organization.get", {}), reasonIs("unavailable", false));
    assert.equal(clock.timers, 0);
    assert.equal(server.sessions.length, 1);
  });

test("a connection that is lost fails what was sent; what waits is sent on the next one", async (t) => {
  const held = new Promise(() => {});
  const server = await start(t, { hello: () => userHello({ max_in_flight: 2 }), "board.list": () => held });
  const { client, clock, states, session } = await open(t, server);
  const requests = Array.from({ length: 5 }, () => client.request("board.list", {}));
  await session.received("board.list", 1);
  await session.received("hello");
  assert.equal(session.count("board.list"), 2);
  server.handlers["board.list"] = () => ({ items: [], total: 0, next_cursor: null });
  session.close();
  for (const sent of requests.slice(0, 2)) await assert.rejects(sent, reasonIs("unavailable", true));
  clock.advance((await states.next("disconnected")).retryInMs);
  assert.equal((await Promise.all(requests.slice(2))).length, 3);
});

test("closing fails what was not sent, and says that it was not", async (t) => {
  const server = await start(t, {
    hello: () => userHello({ max_in_flight: 1 }),
    "board.list": () => new Promise(() => {}),
  });
  const { client, session } = await open(t, server);
  const sent = assert.rejects(client.request("board.list", {}), reasonIs("unavailable", true));
  const waiting = assert.rejects(client.request("board.list", {}), reasonIs("unavailable", false));
  await session.received("board.list");
  await client.close();
  await Promise.all([sent, waiting]);
});

test("a request that times out keeps its place in the limit until it is answered", async (t) => {
  let answer: (result: unknown) => void = () => {};
  const server = await start(t, {
    hello: () => userHello({ max_in_flight: 1 }),
    "board.list": () => new Promise((resolve) => (answer = resolve)),
    "agent.get": () => ({ agent: agentRecord(1) }),
  });
  const { client, clock, session } = await open(t, server);
  const slow = assert.rejects(client.request("board.list", {}), reasonIs("timeout", true));
  await session.received("board.list");
  clock.advance(30_000);
  await slow;
  const next = client.request("agent.get", { agent_id: ID });
  // Its answer comes behind whatever was sent before.
  await session.ask("anything", {});
  assert.equal(session.count("agent.get"), 0);
  answer({ items: [], total: 0, next_cursor: null });
  await next;
  const never = assert.rejects(client.request("board.list", {}, { timeoutMs: 50 }), reasonIs("timeout"));
  clock.advance(50);
  await never;
});

test("a message larger than the server takes is refused here, the connection lives", async (t) => {
  const server = await start(t, {
    hello: () => userHello({ max_frame_bytes: 100_000 }),
    "organization.get": () => ({
      organization: {
        id: ID,
        name: "o",
        created_at: agentRecord(1).created_at,
        updated_at: agentRecord(1).updated_at,
      },
    }),
  });
  const { client } = await open(t, server);
  await assert.rejects(client.call("agent.list", { name: "é".repeat(60_000) }), reasonIs("invalid_params"));
  assert.equal((await client.request("organization.get", {})).organization.name, "o");
});

test("a server that falls silent is left", async (t) => {
  const server = await start(t);
  const { clock, states, session } = await open(t, server);
  session.freeze();
  clock.advance(45_000);
  assert.match((await states.next("disconnected")).why.message, /silent/);
});

test("what cannot be read ends the connection", async (t) => {
  const { states, session } = await open(t, await start(t));
  session.sendRaw("{");
  assert.equal((await states.next("closed")).why?.reason, "parse_error");
});
