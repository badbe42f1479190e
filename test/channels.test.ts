import assert from "node:assert/strict";
import { test } from "node:test";
import { assertError } from "./support/hostile.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

/** A host's session with so many agents of one board attached, as channels 0, 1, 2, … */
async function hostOf(server: TestServer, count: number, codec: "json" | "msgpack" = "json") {
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const host = await server.wire({ token: null, codec });
  const agents: { id: string; token: string }[] = [];
  for (let i = 0; i < count; i++) {
    const { agent, token } = await owner.call("agent.create", { name: `Agent ${i}`, board_id: board.id });
    agents.push({ id: agent.id, token });
    assert.equal((await host.call("agent.attach", { token })).ch, i);
  }
  return { owner, board, host, agents };
}

const statusOf = async (owner: Wire, agent_id: string) =>
  (await owner.call("agent.get", { agent_id })).agent.status;
const acked = (wire: Wire, n: number) =>
  wire.next(`ack ${n}`, (message: Message) => message.method === "ack" && message.params.n === n);

test("an agent is attached under a number, shown as connected, and detached", async (t) => {
  const server = await startTestServer(t);
  const { owner, host, agents } = await hostOf(server, 2);
  const [first] = agents;
  const shown = await owner.call("agent.get", { agent_id: first?.id });
  assert.equal(shown.agent.connected, true);
  assert.equal(shown.agent.status, "provisioning");
  assert.deepEqual(await host.call("agent.detach", { ch: 0 }), {});
  assert.equal((await owner.call("agent.get", { agent_id: first?.id })).agent.connected, false);
  assertError(await host.ask({ method: "agent.detach", params: { ch: 0 } }), "not_found");
  assertError(await host.ask({ method: "heartbeat", params: { ch: 0 } }), "not_found");
  // The other is not touched by it.
  assert.equal((await host.call("heartbeat", { ch: 1 })).agent.status, "online");
});

test("B1 detaching with offline signs the agent off", async (t) => {
  const server = await startTestServer(t);
  const { owner, host, agents } = await hostOf(server, 1);
  await host.call("heartbeat", { ch: 0 });
  await host.call("agent.detach", { ch: 0, offline: true });
  assert.equal(await statusOf(owner, agents[0]?.id ?? ""), "offline");
});

test("a newer attach wins, the older one is told, and its beats are refused", async (t) => {
  const server = await startTestServer(t);
  const { owner, host, agents } = await hostOf(server, 2);
  const newer = await server.wire({ token: null, codec: "msgpack" });
  assert.equal((await newer.call("agent.attach", { token: agents[1]?.token })).ch, 0);
  const told = await host.next("detached", (message) => message.method === "detached");
  assert.deepEqual(told.params, { ch: 1, reason: "superseded" });
  host.notify("heartbeat", { n: 1, ch: 1 });
  assertError(await host.next("a refusal", (message) => message.error), "not_found");
  assert.equal((await newer.call("heartbeat", { ch: 0 })).agent.status, "online");
  // The older socket's end is not the agent's.
  host.end();
  await owner.call("subscribe", { topic: "agents" });
  assert.equal((await owner.call("agent.get", { agent_id: agents[1]?.id })).agent.connected, true);
});

test("an agent attached twice on one session has one channel, the newer", async (t) => {
  const server = await startTestServer(t);
  const { host, agents } = await hostOf(server, 1);
  assert.equal((await host.call("agent.attach", { token: agents[0]?.token })).ch, 1);
  const told = await host.next("detached", (message) => message.method === "detached");
  assert.deepEqual(told.params, { ch: 0, reason: "superseded" });
  assertError(await host.ask({ method: "heartbeat", params: { ch: 0 } }), "not_found");
  assert.equal((await host.call("heartbeat", { ch: 1 })).agent.connected, true);
});

test("a deleted agent's channel is told, the host's session stays; its own session is closed", async (t) => {
  const server = await startTestServer(t);
  const { owner, host, agents } = await hostOf(server, 2);
  await owner.call("agent.delete", { agent_id: agents[0]?.id });
  const told = await host.next("detached", (message) => message.method === "detached");
  assert.deepEqual(told.params, { ch: 0, reason: "deleted" });
  await host.call("heartbeat", { ch: 1 });
  assertError(
    await host.ask({ method: "agent.attach", params: { token: agents[0]?.token } }),
    "unauthenticated",
  );
});

test("B14 the first use of a rotated token detaches the old one's channel and closes all its sessions", async (t) => {
  const server = await startTestServer(t);
  const { owner, host, agents } = await hostOf(server, 1);
  const token = agents[0]?.token ?? "";
  const older = await server.wire({ token });
  const newest = await server.wire({ token });
  await older.next("detached", (message) => message.method === "detached");
  const rotated = await owner.call("agent.token.rotate", { agent_id: agents[0]?.id });
  assert.equal((await newest.call("heartbeat")).agent.status, "online");
  await host.call("agent.attach", { token: rotated.token });
  assert.equal((await newest.closing()).code, 4403);
  // Superseded before, but signed in by the token that is dead now.
  assert.equal((await older.closing()).code, 4403);
  assertError(await host.ask({ method: "agent.attach", params: { token } }), "unauthenticated");
});

test("B10 a deleted agent's sessions are all closed, also one that another had superseded", async (t) => {
  const server = await startTestServer(t);
  const { owner, agents } = await hostOf(server, 1);
  const older = await server.wire({ token: agents[0]?.token ?? "" });
  const newer = await server.wire({ token: agents[0]?.token ?? "" });
  await owner.call("agent.delete", { agent_id: agents[0]?.id });
  assert.equal((await newer.closing()).code, 4403);
  assert.equal((await older.closing()).code, 4403);
});

test("the number of a channel is not used again soon", async (t) => {
  const server = await startTestServer(t);
  const { host, agents } = await hostOf(server, 1);
  const { token } = agents[0] ?? {};
  for (let i = 1; i < 200; i++) {
    await host.call("agent.detach", { ch: i - 1 });
    assert.equal((await host.call("agent.attach", { token })).ch, i);
  }
});

for (const codec of ["json", "msgpack"] as const)
  test(`many agents beat in one notification, by an array of channels (${codec})`, async (t) => {
    const server = await startTestServer(t);
    const { owner, host, agents } = await hostOf(server, 5, codec);
    host.notify("heartbeats", { n: 1, chs: [0, 1, 2, 4] });
    await acked(host, 1);
    const { items } = await owner.call("agent.list", { status: "online" });
    assert.equal(items.length, 4);
    assert.equal(await statusOf(owner, agents[3]?.id ?? ""), "provisioning");
  });

test("many agents beat in one notification, by binary little-endian u32s", async (t) => {
  const server = await startTestServer(t);
  const { owner, host, agents } = await hostOf(server, 5, "msgpack");
  const chs = Buffer.alloc(12);
  [0, 2, 4].forEach((ch, position) => {
    chs.writeUInt32LE(ch, position * 4);
  });
  host.notify("heartbeats", { n: 7, chs });
  await acked(host, 7);
  const { items } = await owner.call("agent.list", { status: "online" });
  assert.deepEqual(items.map((item: Message) => item.name).sort(), ["Agent 0", "Agent 2", "Agent 4"]);
  host.notify("heartbeats", { n: 8, chs: chs.subarray(0, 11) });
  assertError(await host.next("a refusal", (message) => message.error), "invalid_params");
  assert.equal(await statusOf(owner, agents[1]?.id ?? ""), "provisioning");
});

test("channels that are not there are named, and the others beat all the same", async (t) => {
  const server = await startTestServer(t);
  const { owner, host } = await hostOf(server, 2);
  host.notify("heartbeats", { n: 1, chs: [0, 9, 1, 4_294_967_295] });
  const refusal = await host.next("a refusal", (message) => message.error);
  assertError(refusal, "not_found");
  assert.equal(refusal.id, null);
  assert.deepEqual(refusal.error.data.channels, [9, 4_294_967_295]);
  await acked(host, 1);
  assert.equal((await owner.call("agent.list", { status: "online" })).items.length, 2);
});

test("B9 a heartbeat says only what it may", async (t) => {
  const server = await startTestServer(t);
  const { host } = await hostOf(server, 1);
  const said = { status: "online", activity: "busy", stats: { load: 0.5, deep: { list: [1, null, "x"] } } };
  const { agent } = await host.call("heartbeat", { ch: 0, ...said });
  assert.deepEqual(agent.reported, said);
  for (const bad of [
    { status: "updating" },
    { status: "deleting" },
    { status: null },
    { activity: "sleeping" },
    { stats: [] },
    { stats: "x" },
    { stats: { text: "x".repeat(4_096) } },
    { stats: { text: "\u0000" } },
    { stats: { "\u0000": 1 } },
    { mood: "good" },
  ])
    assertError(await host.ask({ method: "heartbeat", params: { ch: 0, ...bad } }), "invalid_params");
  const largest = { text: "x".repeat(4_096 - '{"text":""}'.length) };
  assert.deepEqual((await host.call("heartbeat", { ch: 0, stats: largest })).agent.reported.stats, largest);
});

test("P5 whatever an agent asks counts as being seen, also what is refused", async (t) => {
  for (const [method, params] of [
    ["agent.list", {}],
    ["organization.get", {}],
    ["subscribe", { topic: "agents" }],
    ["unsubscribe", { topic: "agents" }],
    ["nothing", {}],
  ] as const) {
    const server = await startTestServer(t);
    const { owner, agents } = await hostOf(server, 1);
    const agent = await server.wire({ token: agents[0]?.token ?? "" });
    await agent.call("heartbeat");
    server.clock.advance(19 * 60_000);
    await agent.ask({ method, params });
    server.clock.advance(19 * 60_000);
    await agent.ask({ method, params });
    assert.equal(await statusOf(owner, agents[0]?.id ?? ""), "online", method);
    await server.close();
  }
});

test("P3 an agent that signs off by a request is not online in between", async (t) => {
  const server = await startTestServer(t);
  const { owner, agents } = await hostOf(server, 1);
  const agent = await server.wire({ token: agents[0]?.token ?? "" });
  await agent.call("heartbeat", { status: "offline" });
  const { version } = (await owner.call("agent.get", { agent_id: agents[0]?.id })).agent;
  server.clock.advance(60_000);
  const params = { agent_id: agents[0]?.id, status: "offline" };
  assert.equal((await agent.call("agent.heartbeat", params)).agent.version, version);
});

test("an agent is told its new configuration, and what it answers shows", async (t) => {
  const server = await startTestServer(t);
  const { owner, host, agents } = await hostOf(server, 2);
  const agent_id = agents[1]?.id;
  await host.call("heartbeat", { ch: 1 });
  await owner.call("agent.update", { agent_id, identity_profile: { role: "cook" } });
  const asked = await host.next("config", (message) => message.method === "config");
  assert.equal(asked.params.ch, 1);
  assert.deepEqual(asked.params.agent.identity_profile, { role: "cook" });
  await owner.call("subscribe", { topic: "agents" });
  host.send({ id: asked.id, result: { applied: asked.params.hash } });
  const shown = await owner.pushed(agent_id ?? "", "applied", (agent) => agent.reported?.config);
  assert.deepEqual(shown.reported.config, { hash: asked.params.hash, applied: true });
  assert.equal(shown.last_error, null);
});

test("P5 an answer on a channel counts as being seen, also on a host's", async (t) => {
  const server = await startTestServer(t);
  const { owner, host, agents } = await hostOf(server, 1);
  await host.call("heartbeat", { ch: 0 });
  const seenAt = async () =>
    (await owner.call("agent.get", { agent_id: agents[0]?.id })).agent.last_seen_at as string;
  const before = await seenAt();
  // Time for the answer is shorter than the pause between two notes of being seen.
  server.clock.advance(29_000);
  await owner.call("agent.update", { agent_id: agents[0]?.id, name: "Renamed" });
  const asked = await host.next("config", (message) => message.method === "config");
  server.clock.advance(2_000);
  await owner.call("subscribe", { topic: "agents" });
  host.send({ id: asked.id, result: { applied: asked.params.hash } });
  await owner.next("seen", (message) => {
    server.clock.advance(1_000);
    return message.method === "seen" || message.method === "change";
  });
  await owner.pushed(agents[0]?.id ?? "", "applied", (agent) => agent.reported?.config?.applied);
  await host.call("heartbeats", { n: 1, chs: [] });
  assert.notEqual(await seenAt(), before);
});

test("a hostile answer to a configuration becomes a short, storable error", async (t) => {
  const server = await startTestServer(t);
  const { owner, host, agents } = await hostOf(server, 1);
  await owner.call("subscribe", { topic: "agents" });
  for (const message of ["bad\u0000word", `big${"x".repeat(500_000)}`, `cut${"💥".repeat(100_000)}`]) {
    const from = host.received.length;
    await owner.call("agent.update", { agent_id: agents[0]?.id, force: true });
    const asked = await host.next("config", (received) => received.method === "config", from);
    host.send({ id: asked.id, error: { code: -1, message } });
    const start = message.slice(0, 3);
    const shown = await owner.pushed(agents[0]?.id ?? "", start, (agent) =>
      agent.last_error?.includes(start),
    );
    assert.ok(shown.last_error.length < 2_000, `${shown.last_error.length} characters`);
    assert.ok(shown.last_error.isWellFormed());
  }
});
