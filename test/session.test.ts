import assert from "node:assert/strict";
import { test } from "node:test";
import { assertError } from "./support/hostile.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

const hello = (token: string | undefined, id: number | string = 1) => ({
  id,
  method: "hello",
  params: { ...(token === undefined ? {} : { token }), client: { name: "test", version: "1" } },
});

async function directAgent(server: TestServer, name = "Scout") {
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const created = await owner.call("agent.create", { name, board_id: board.id });
  return { owner, board, agent: created.agent, token: created.token };
}

for (const codec of ["json", "msgpack"] as const)
  test(`hello says who is who, and what the limits are (${codec})`, async (t) => {
    const server = await startTestServer(t);
    const wire = await server.connect({ codec });
    const result = await wire.hello(server.organization.token);
    const { session, server: about, node, time, ...rest } = result;
    for (const text of [session, node, about.version]) assert.match(text, /\S/);
    assert.equal(about.name, "muster");
    assert.equal(time, new Date(server.clock.now()).toISOString());
    assert.deepEqual(rest, {
      protocol: 1,
      principal: {
        kind: "user",
        id: server.organization.ownerId,
        organization_id: server.organization.id,
        role: "owner",
      },
      limits: {
        max_frame_bytes: 1_048_576,
        max_batch: 1_000,
        max_in_flight: 64,
        max_subscriptions: 256,
        max_channels: 10_000,
      },
    });
  });

test("an agent's hello attaches it as channel 0", async (t) => {
  const server = await startTestServer(t);
  const { agent, token } = await directAgent(server);
  const result = await (await server.connect()).hello(token);
  assert.deepEqual(result.principal, {
    kind: "agent",
    id: agent.id,
    organization_id: server.organization.id,
  });
  assert.equal(result.ch, 0);
  assert.equal(result.agent.id, agent.id);
  assert.equal(result.agent.connected, true);
  assert.equal(result.heartbeat.offline_after_ms, 1_200_000);
});

test("a token in the upgrade's header stands for hello's, which still comes first", async (t) => {
  const server = await startTestServer(t);
  const headers = { authorization: `Bearer ${server.organization.token}` };
  const wire = await server.connect({ headers });
  assert.equal((await wire.hello()).principal.kind, "user");
  const silent = await server.connect({ headers });
  assertError(await silent.ask({ method: "organization.get" }), "unauthenticated");
  assert.equal((await silent.closing()).code, 4401);
});

test("hello's own token wins over the header's", async (t) => {
  const server = await startTestServer(t);
  const { token } = await directAgent(server);
  const headers = { authorization: `Bearer ${server.organization.token}` };
  const wire = await server.connect({ headers });
  assert.equal((await wire.hello(token)).principal.kind, "agent");
});

test("whatever else comes first is unauthenticated and closes with 4401", async (t) => {
  const server = await startTestServer(t);
  const firsts: [unknown, id: unknown][] = [
    [{ id: 5, method: "organization.get" }, 5],
    [{ id: "x", method: "agent.attach", params: { token: server.organization.token } }, "x"],
    [{ method: "hello", params: { token: server.organization.token } }, null],
    [{ method: "heartbeat", params: { n: 1 } }, null],
    [{ id: 1, result: {} }, null],
    [[], null],
    [[{ id: 6, method: "organization.get" }, hello(server.organization.token)], 6],
    [null, null],
  ];
  for (const [first, id] of firsts) {
    const wire = await server.connect();
    wire.send(first);
    const answer = await wire.next("an error", (message) => message.error);
    assertError(answer, "unauthenticated", JSON.stringify(first));
    assert.equal(answer.id, id);
    assert.equal((await wire.closing()).code, 4401);
  }
  const unreadable = await server.connect();
  unreadable.sendRaw("{");
  assert.equal((await unreadable.closing()).code, 4401);
});

test("a token that is not good closes with 4401, in whatever way it is not", async (t) => {
  const server = await startTestServer(t);
  const { owner, board } = await directAgent(server);
  const enrolment = await owner.call("enrolment.create", { board_id: board.id });
  const good = server.organization.token;
  const short = await owner.call("user_token.create", { name: "short", expires_in: "1m" });
  server.clock.advance(60_000);
  const tokens = ["", "x", `${good}x`, good.slice(0, -1), good.toUpperCase(), enrolment.token, short.token];
  tokens.push(`${good.slice(0, -1)}${good.endsWith("A") ? "B" : "A"}`, `${good}\u0000`.slice(1));
  for (const token of tokens) {
    const wire = await server.connect();
    const answer = await wire.ask({ method: "hello", params: { token } });
    assertError(
      answer,
      token.includes("\u0000") ? "invalid_params" : "unauthenticated",
      JSON.stringify(token),
    );
    if (answer.error.data.reason === "unauthenticated") assert.equal((await wire.closing()).code, 4401);
  }
});

test("a hello with wrong params is told so, and may be said again", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.connect();
  for (const params of [{ token: 7 }, { token: "a\u0000" }, { client: "x" }, { token: "x".repeat(501) }])
    assertError(await wire.ask({ method: "hello", params }), "invalid_params");
  assert.equal((await wire.hello(server.organization.token)).protocol, 1);
  // The time for a good one runs from the beginning all the same.
  const slow = await server.connect();
  server.clock.advance(9_000);
  assertError(await slow.ask({ method: "hello", params: { token: 7 } }), "invalid_params");
  server.clock.advance(1_000);
  assert.equal((await slow.closing()).code, 4008);
});

test("no hello within ten seconds closes with 4008, and not before", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const wire = await server.connect();
  const other = await server.connect();
  server.clock.advance(9_999);
  await other.hello(server.organization.token);
  server.clock.advance(1);
  assert.deepEqual(await wire.closing(), { code: 4008, reason: "no hello in time" });
  server.clock.advance(60_000);
  for (const open of [owner, other]) await open.call("organization.get");
});

test("hello comes once", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.wire();
  const again = { method: "hello", params: { token: server.organization.token } };
  assertError(await wire.ask(again), "invalid_request");
  await wire.call("organization.get");
});

test("what is sent behind hello without waiting is answered in its turn", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.connect({ codec: "msgpack" });
  wire.send(hello(server.organization.token, "h"));
  for (let i = 0; i < 20; i++) wire.send({ id: `r${i}`, method: "organization.get" });
  await wire.next("the last answer", () => wire.received.length === 21);
  assert.equal(wire.received[0].id, "h");
  assert.ok(wire.received.every((message) => "result" in message));
  const batch = await server.connect();
  batch.send([hello(server.organization.token, "h"), { id: "b", method: "organization.get" }]);
  await batch.next("the second answer", (message) => message.id === "b" && message.result.organization);
  assert.equal(batch.received[0].id, "h");
});

test("a session without a token may only attach and enrol agents", async (t) => {
  const server = await startTestServer(t);
  const { owner, board, token } = await directAgent(server);
  const enrolment = await owner.call("enrolment.create", { board_id: board.id });
  const host = await server.connect();
  assert.deepEqual((await host.hello()).principal, { kind: "host" });
  for (const [method, params] of [
    ["organization.get", {}],
    ["agent.list", {}],
    ["agent.create", { name: "X", board_id: board.id }],
    ["agent.create", { name: "X", board_id: board.id, idempotency_key: "k" }],
    ["subscribe", { topic: "agents" }],
    ["user_token.create", { name: "x" }],
    ["enrolment.create", { board_id: board.id }],
    ["agent.heartbeat_or_create", { name: "X" }],
  ] as const)
    assertError(await host.ask({ method, params }), "forbidden", method);
  assert.equal((await host.call("agent.attach", { token })).ch, 0);
  const enrolled = await host.call("agent.enroll", { token: enrolment.token, name: "Worker" });
  assert.equal((await host.call("agent.attach", { token: enrolled.token })).ch, 1);
  const asUser = await host.ask({ method: "agent.attach", params: { token: server.organization.token } });
  assertError(asUser, "unauthenticated");
});

for (const codec of ["json", "msgpack"] as const)
  test(`a batch is answered by one batch, notifications by nothing (${codec})`, async (t) => {
    const server = await startTestServer(t);
    const wire = await server.wire({ codec });
    const frames: Message[] = [];
    wire.socket.on("message", (data: Buffer, isBinary: boolean) => frames.push({ data, isBinary }));
    wire.send([
      { id: "a", method: "organization.get" },
      { id: "b", method: "nothing" },
      { method: "heartbeat", params: { n: 1, ch: 77 } },
      { id: "c", method: "agent.get", params: {} },
      { id: "server-9", result: {} },
      7,
      { id: "d", method: "board.list" },
    ]);
    const reasonOf = ({ id, error }: Message) => `${id}: ${error?.data.reason ?? "ok"}`;
    await wire.next("six answers", () => wire.received.length === 6);
    assert.deepEqual(wire.received.map(reasonOf).sort(), [
      "a: ok",
      "b: method_not_found",
      "c: invalid_params",
      "d: ok",
      "null: invalid_request",
      "null: not_found",
    ]);
    assert.equal(frames.length, 1);
    assert.equal(frames[0].isBinary, codec === "msgpack");
    wire.send([{ id: "server-9", result: {} }]);
    await wire.call("organization.get");
    assert.equal(frames.length, 2, "a batch that needs no answer gets none");
  });

test("the messages of a batch begin in their order", async (t) => {
  const server = await startTestServer(t);
  const { token } = await directAgent(server);
  const wire = await server.wire({ token });
  wire.send(Array.from({ length: 1_000 }, (_, index) => ({ method: "heartbeat", params: { n: index + 1 } })));
  await wire.next("the last ack", (message) => message.method === "ack" && message.params.n === 1_000);
  assert.equal(wire.received.filter((message) => message.error).length, 0);
});

test("B14 a revoked or expired token's sessions are closed with 4403, others stay", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const revoked = await owner.call("user_token.create", { name: "revoked" });
  const expiring = await owner.call("user_token.create", { name: "expiring", expires_in: "1h" });
  const first = await server.wire({ token: revoked.token });
  const second = await server.wire({ token: expiring.token });
  await owner.call("user_token.delete", { token_id: revoked.user_token.id });
  assert.equal((await first.closing()).code, 4403);
  server.clock.advance(3_599_000);
  await second.call("organization.get");
  server.clock.advance(1_000);
  assert.equal((await second.closing()).code, 4403);
  await owner.call("organization.get");
});
