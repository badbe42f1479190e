import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import WebSocket from "ws";
import { until } from "./support/await.ts";
import { assertError } from "./support/hostile.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

async function directAgent(server: TestServer, name = "Scout") {
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const created = await owner.call("agent.create", { name, board_id: board.id });
  return { owner, board, agent: created.agent, token: created.token };
}

/** The HTTP status that answers an upgrade; 101 when it is accepted. */
async function upgrade(server: TestServer, protocols: string[], headers: Record<string, string> = {}) {
  const socket = new WebSocket(`${server.url.replace("http", "ws")}/v1/socket`, protocols, { headers });
  socket.on("error", () => {});
  const status = await Promise.race([
    once(socket, "open").then(() => 101),
    once(socket, "unexpected-response").then(([, response]) => response.statusCode),
  ]);
  const { protocol } = socket;
  socket.terminate();
  return { status, protocol };
}

test("who goes on although refused floods, and is closed with 4029", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.wire();
  const neighbour = await server.wire();
  const batch = Array.from({ length: 1_000 }, (_, index) => ({ id: index, method: "organization.get" }));
  wire.send(batch);
  await wire.next("the batch's answers", () => wire.received.length === 1_000);
  server.clock.advance(1_001);
  await wire.call("organization.get");
  for (let i = 0; i < 3; i++) wire.send(batch);
  assert.equal((await wire.closing()).code, 4029);
  await neighbour.call("organization.get");
});

test("a frame of the wrong kind closes with 4400", async (t) => {
  const server = await startTestServer(t);
  const text = await server.wire({ codec: "json" });
  text.sendRaw(Buffer.from('{"id":1,"method":"organization.get"}'));
  assert.equal((await text.closing()).code, 4400);
  const binary = await server.wire({ codec: "msgpack" });
  binary.sendRaw('{"id":1,"method":"organization.get"}');
  assert.equal((await binary.closing()).code, 4400);
});

test("a frame over 1 MiB closes with 1009, one of 1 MiB is read", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.wire();
  const frameOf = (length: number) => {
    const [head, tail] = ['{"id":"big","method":"agent.list","params":{"name":"', '"}}'];
    return head + "n".repeat(length - head.length - tail.length) + tail;
  };
  wire.sendRaw(frameOf(1_048_576));
  assertError(await wire.next("an answer", (message) => message.id === "big"), "invalid_params");
  wire.sendRaw(frameOf(1_048_577));
  assert.equal((await wire.closing()).code, 1009);
});

test("subprotocols: none is JSON, the first known one counts, only unknown ones are refused", async (t) => {
  const server = await startTestServer(t);
  assert.deepEqual(await upgrade(server, []), { status: 101, protocol: "" });
  const both = ["graphql-ws", "muster.v1.msgpack", "muster.v1.json"];
  assert.deepEqual(await upgrade(server, both), { status: 101, protocol: "muster.v1.msgpack" });
  assert.equal((await upgrade(server, ["muster.v2.json", "mqtt"])).status, 400);
});

test("a page of another origin is refused with 403, the server's own and listed ones are not", async (t) => {
  const server = await startTestServer(t, {
    environment: { MUSTER_ALLOWED_ORIGINS: "https://desk.example" },
  });
  const statusFrom = async (origin: string) => (await upgrade(server, ["muster.v1.json"], { origin })).status;
  assert.equal(await statusFrom(server.url), 101);
  assert.equal(await statusFrom("https://desk.example"), 101);
  for (const origin of ["https://evil.example", "null", "https://desk.example.evil", `${server.url}.evil`])
    assert.equal(await statusFrom(origin), 403, origin);
});

test("sessions of both codecs see the same, each in its own", async (t) => {
  const server = await startTestServer(t);
  const [text, binary] = [await server.wire({ codec: "json" }), await server.wire({ codec: "msgpack" })];
  for (const wire of [text, binary]) await wire.call("subscribe", { topic: "agents" });
  const { board } = await server.board(text);
  const { agent } = await binary.call("agent.create", { name: "Ölmühle 💥", board_id: board.id });
  const [one, other] = await Promise.all([text, binary].map((w) => w.pushed(agent.id, "it", () => true)));
  assert.deepEqual(one, other);
  assert.equal(one.name, "Ölmühle 💥");
});

test("a stopping server says drain, then closes with 1001", async (t) => {
  const server = await startTestServer(t);
  const { token } = await directAgent(server);
  const wires = [await server.wire(), await server.wire({ codec: "msgpack", token }), await server.connect()];
  await server.stop();
  for (const wire of wires) {
    assert.equal((await wire.closing()).code, 1001);
    const drain = wire.received.find((message) => message.method === "drain");
    assert.ok(drain.params.reconnect_after_ms >= 0 && drain.params.reconnect_after_ms <= 2_000);
  }
});

test("a session that is gone leaves nothing behind", async (t) => {
  const server = await startTestServer(t);
  const { owner, agent, token } = await directAgent(server);
  const timers = server.clock.timers;
  for (let i = 0; i < 50; i++) (await server.connect()).end();
  const wire = await server.wire({ token });
  wire.end();
  const isGone = async () =>
    (await owner.call("agent.get", { agent_id: agent.id })).agent.connected === false;
  await until(isGone, { what: "the agent to be shown as not connected" });
  await until(() => server.clock.timers === timers, { what: "the timers to be as before" });
});
