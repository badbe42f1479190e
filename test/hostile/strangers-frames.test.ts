import assert from "node:assert/strict";
import { test } from "node:test";
import { ALL_METHODS } from "../support/examples.ts";
import { assertError, assertLives } from "../support/hostile.ts";
import { startTestServer } from "../support/server.ts";
import type { Message } from "../support/wire.ts";

const CODECS = ["json", "msgpack"] as const;
const STRANGERS_BYTES = 16_384;
const MOST_BYTES = 1_048_576;

/** A request whose frame has exactly so many bytes, in JSON; in MessagePack a few fewer. */
function requestOf(bytes: number): Message {
  const message = { jsonrpc: "2.0", id: 1, method: "nothing", params: { x: "" } };
  const room = bytes - Buffer.byteLength(JSON.stringify(message));
  return { method: "nothing", params: { x: "x".repeat(room) } };
}

test("before a token was shown a frame has at most 16 KiB, and hello says so", async (t) => {
  const server = await startTestServer(t);
  for (const codec of CODECS) {
    const host = await server.connect({ codec });
    const greeting = await host.ask({ method: "hello", params: {} });
    assert.equal(greeting.result.limits.max_frame_bytes, STRANGERS_BYTES);
    assertError(await host.ask(requestOf(STRANGERS_BYTES - 100)), "method_not_found");
    host.send({ id: 1, ...requestOf(STRANGERS_BYTES + 200) });
    const { code, reason } = await host.closing();
    assert.equal(code, 4400);
    assert.match(reason, /16 KiB/);
  }
  const silent = await server.connect();
  silent.send({ id: 1, ...requestOf(STRANGERS_BYTES + 200), method: "hello" });
  assert.equal((await silent.closing()).code, 4400);
  const greedy = await server.connect();
  greedy.send({ id: 1, method: "hello", params: { token: server.organization.token } });
  greedy.send({ id: 2, ...requestOf(STRANGERS_BYTES + 200) });
  assert.equal((await greedy.closing()).code, 4400, "a token that nobody has looked at yet is none");
});

test("a good token lets frames be large from its answer on; an agent's attach says so once", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.connect();
  const greeting = await owner.ask({ method: "hello", params: { token: server.organization.token } });
  assert.equal(greeting.result.limits.max_frame_bytes, MOST_BYTES);
  assertError(await owner.ask(requestOf(MOST_BYTES - 100)), "method_not_found");
  const { board } = await server.board(owner);
  const tokens: string[] = [];
  for (const name of ["Ada", "Bea"])
    tokens.push((await owner.call("agent.create", { name, board_id: board.id })).token);
  for (const codec of CODECS) {
    const host = await server.wire({ codec, token: null });
    assertError(
      await host.ask({ method: "agent.attach", params: { token: "mst_agent_x" } }),
      "unauthenticated",
    );
    const first = await host.call("agent.attach", { token: tokens[0] });
    assert.equal(first.limits.max_frame_bytes, MOST_BYTES);
    const second = await host.call("agent.attach", { token: tokens[1] });
    assert.equal(second.limits, undefined);
    assertError(await host.ask(requestOf(MOST_BYTES - 100)), "method_not_found");
  }
});

/** Methods that need no rights, or whose session says for whom they are. */
const FOR_ANYONE = new Set([
  "hello",
  "agent.enroll",
  "agent.attach",
  "agent.detach",
  "heartbeat",
  "heartbeats",
  "unsubscribe",
]);
const FOR_AGENTS = new Set(["agent.heartbeat", "agent.heartbeat_or_create"]);

test("P24 rights are asked before params are looked at, by every method", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { token } = await owner.call("agent.create", { name: "Worker", board_id: board.id });
  const host = await server.wire({ token: null });
  const agent = await server.wire({ token });
  const rubbish = { nothing: [{}], agent_id: 7, topic: {}, name: ["x"], "\u0000": Array(1_000).fill({}) };
  for (const method of ALL_METHODS) {
    if (FOR_ANYONE.has(method)) continue;
    assertError(await host.ask({ method, params: rubbish }), "forbidden", `a host: ${method}`);
    if (!FOR_AGENTS.has(method))
      assertError(await agent.ask({ method, params: rubbish }), "forbidden", `an agent: ${method}`);
    assertError(await owner.ask({ method, params: rubbish }), "invalid_params", `an owner: ${method}`);
  }
  await assertLives(server, owner);
});

test("UUIDs may be written in upper case wherever there are any", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board, gateway } = await server.board(owner);
  const { agent } = await owner.call("agent.create", { name: "Ada", board_id: board.id.toUpperCase() });
  const upper = (id: string) => id.toUpperCase();
  assert.equal((await owner.call("agent.get", { agent_id: upper(agent.id) })).agent.id, agent.id);
  const listed = await owner.call("agent.list", { board_id: upper(board.id), gateway_id: upper(gateway.id) });
  assert.equal(listed.items[0].id, agent.id);
  const topic = `agents:agent:${upper(agent.id)}`;
  const begun = await owner.call("subscribe", { topic });
  assert.equal(begun.topic, `agents:agent:${agent.id}`);
  await owner.call("agent.update", { agent_id: upper(agent.id), name: "Bea" });
  const change = await owner.next("the change", ({ method }) => method === "change");
  assert.equal(change.params.topic, `agents:agent:${agent.id}`);
  await owner.call("unsubscribe", { topic });
  await owner.call("subscribe", { topic: topic.replace("agents:agent:", "activity:agent:") });
  assertError(await owner.ask({ method: "subscribe", params: { topic: "AGENTS" } }), "not_found");
});
