import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { assertError } from "./support/hostile.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

async function scene(server: TestServer) {
  const owner = await server.wire();
  const { board, gateway } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Scout", board_id: board.id });
  const topics = [
    "agents",
    `agents:board:${board.id}`,
    `agents:gateway:${gateway.id}`,
    `agents:agent:${agent.id}`,
    "activity",
    `activity:board:${board.id}`,
    `activity:agent:${agent.id}`,
  ];
  return { owner, board, gateway, agent, token, topics };
}

const changesOf = (wire: Wire, topic: string): Message[] =>
  wire.received.filter((message) => message.method === "change" && message.params.topic === topic);

for (const codec of ["json", "msgpack"] as const)
  test(`B11 every topic has its snapshot, then every change with the next offset (${codec})`, async (t) => {
    const server = await startTestServer(t);
    const { owner, agent, token, topics } = await scene(server);
    const watcher = await server.wire({ codec });
    const offsets = new Map<string, number>();
    for (const topic of topics) {
      const snapshot = await watcher.call("subscribe", { topic });
      assert.equal(snapshot.topic, topic);
      assert.equal(snapshot.more, false);
      assert.ok(snapshot.items.length > 0, topic);
      if (topic.startsWith("agents")) assert.equal(snapshot.items[0].id, agent.id);
      offsets.set(topic, snapshot.offset);
    }
    const scout = await server.wire({ token });
    await scout.call("heartbeat");
    await owner.call("agent.update", { agent_id: agent.id, name: "Renamed" });
    for (const topic of topics) {
      const isLast = (thing: Message) => thing.name === "Renamed" || thing.type === "agent.update.direct";
      await watcher.next(`the last change of ${topic}`, () =>
        changesOf(watcher, topic).some((change) => change.params.upserts.some(isLast)),
      );
      const first = (offsets.get(topic) ?? 0) + 1;
      changesOf(watcher, topic).forEach(({ params }, position) => {
        assert.equal(params.offset, first + position, topic);
      });
    }
    // This one changes nothing but when it was seen.
    await scout.call("heartbeat");
    server.clock.advance(1_000);
    const seen = await watcher.next("seen", (message) => message.method === "seen");
    assert.equal(seen.params.agents[0][0], agent.id);
    assert.equal(seen.params.offset, undefined);
  });

test("what is not there, is another's or is no topic is not found", async (t) => {
  const server = await startTestServer(t);
  const { owner, topics } = await scene(server);
  const other = await server.addOrganization("Other");
  const stranger = await server.wire({ token: other.token });
  for (const topic of topics.filter((name) => name.includes(":")))
    assertError(await stranger.ask({ method: "subscribe", params: { topic } }), "not_found", topic);
  for (const topic of [
    "x",
    "Agents",
    "agents ",
    "agents:",
    "agents:board",
    `agents:board:${randomUUID()}`,
    `agents:gateway:${randomUUID()}`,
    `agents:agent:${randomUUID()}`,
    `activity:gateway:${randomUUID()}`,
    `agents:board:${randomUUID()}:x`,
    "agents:board:__proto__",
    "agents:__proto__:constructor",
    "__proto__",
    "constructor",
    "agents:board:' or 1=1",
    "agents:board:%",
    "agents\n",
    "\u202eagents",
  ])
    assertError(await owner.ask({ method: "subscribe", params: { topic } }), "not_found", topic);
  for (const topic of ["", "a\u0000", "x".repeat(201), 7, null, ["agents"], { topic: "agents" }])
    assertError(await owner.ask({ method: "subscribe", params: { topic } }), "invalid_params");
  for (const since of [{}, { epoch: "x" }, { epoch: "x", offset: -1 }, { epoch: "x", offset: 0.5 }, 7, null])
    assertError(
      await owner.ask({ method: "subscribe", params: { topic: "agents", since } }),
      "invalid_params",
    );
});

test("P24 the whole organization's topics show nothing of another's", async (t) => {
  const server = await startTestServer(t);
  const { owner, agent } = await scene(server);
  const other = await server.addOrganization("Other");
  const stranger = await server.wire({ token: other.token });
  for (const topic of ["agents", "activity"])
    assert.deepEqual((await stranger.call("subscribe", { topic })).items, []);
  const mine = await server.board(stranger);
  await owner.call("agent.update", { agent_id: agent.id, name: "Renamed" });
  const own = await stranger.call("agent.create", { name: "Own", board_id: mine.board.id });
  await stranger.pushed(own.agent.id, "its own agent", () => true);
  const told = JSON.stringify(stranger.received);
  for (const text of [agent.id, "Renamed", server.organization.id]) assert.ok(!told.includes(text), text);
});

test("agents and hosts may watch nothing", async (t) => {
  const server = await startTestServer(t);
  const { token, topics } = await scene(server);
  const agent = await server.wire({ token });
  const host = await server.wire({ token: null });
  for (const topic of topics)
    for (const wire of [agent, host])
      assertError(await wire.ask({ method: "subscribe", params: { topic } }), "forbidden");
});

test("after unsubscribe nothing comes, and to do so twice is no error", async (t) => {
  const server = await startTestServer(t);
  const { owner, agent } = await scene(server);
  const watcher = await server.wire();
  await watcher.call("subscribe", { topic: "agents" });
  await watcher.call("subscribe", { topic: "activity" });
  assert.deepEqual(await watcher.call("unsubscribe", { topic: "agents" }), {});
  assert.deepEqual(await watcher.call("unsubscribe", { topic: "agents" }), {});
  assert.deepEqual(await watcher.call("unsubscribe", { topic: "never:heard:of" }), {});
  await owner.call("agent.update", { agent_id: agent.id, name: "Renamed" });
  await watcher.next("the log's entry", () => changesOf(watcher, "activity").length > 0);
  await owner.call("agent.update", { agent_id: agent.id, name: "Again" });
  await watcher.next("the next entry", () => changesOf(watcher, "activity").length > 1);
  assert.equal(changesOf(watcher, "agents").length, 0);
});

test("a session watches 256 topics; what was left or is over takes no place", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { gateway } = await server.board(owner);
  const boards: string[] = [];
  for (let i = 0; i < 129; i++) {
    const { board } = await owner.call("board.create", { name: `Board ${i}`, gateway_id: gateway.id });
    boards.push(board.id);
  }
  const topics = boards.flatMap((id) => [`agents:board:${id}`, `activity:board:${id}`]);
  for (const topic of topics.slice(0, 256)) await owner.call("subscribe", { topic });
  const oneMore = { method: "subscribe", params: { topic: topics[256] } };
  assertError(await owner.ask(oneMore), "rate_limited");
  // One that is watched already takes no second place.
  await owner.call("subscribe", { topic: topics[0] });
  await owner.call("unsubscribe", { topic: topics[0] });
  await owner.call("subscribe", { topic: topics[256] });
  assertError(await owner.ask({ method: "subscribe", params: { topic: topics[257] } }), "rate_limited");
  await owner.call("board.delete", { board_id: boards[5] });
  const isEnd = (message: Message) => message.method === "end";
  const end = await owner.next("the topic's end", isEnd);
  assert.deepEqual(end.params, { topic: `agents:board:${boards[5]}`, reason: "deleted" });
  await owner.call("subscribe", { topic: topics[257] });
  await owner.call("subscribe", { topic: topics[0] });
  assertError(await owner.ask({ method: "subscribe", params: { topic: "agents" } }), "rate_limited");
});

test("a topic ends with what it is about, after the last change", async (t) => {
  const server = await startTestServer(t);
  const { owner, board, gateway, agent } = await scene(server);
  const watcher = await server.wire({ codec: "msgpack" });
  const topic = `agents:agent:${agent.id}`;
  await watcher.call("subscribe", { topic });
  await watcher.call("subscribe", { topic: `agents:gateway:${gateway.id}` });
  await owner.call("agent.delete", { agent_id: agent.id });
  const end = await watcher.next("the end", (message) => message.method === "end");
  assert.deepEqual(end.params, { topic, reason: "deleted" });
  const [last] = changesOf(watcher, topic).slice(-1);
  assert.deepEqual(last.params.removes, [agent.id]);
  assert.ok(watcher.received.indexOf(last) < watcher.received.indexOf(end));
  await owner.call("board.delete", { board_id: board.id });
  await owner.call("gateway.delete", { gateway_id: gateway.id });
  await watcher.next(
    "the gateway's end",
    (message) => message.params?.topic === `agents:gateway:${gateway.id}` && message.method === "end",
  );
  assertError(await watcher.ask({ method: "subscribe", params: { topic } }), "not_found");
});

test("B11 who comes back with a position gets what was missed, or a snapshot", async (t) => {
  const server = await startTestServer(t);
  const { owner, agent } = await scene(server);
  const first = await server.wire();
  const { epoch, offset } = await first.call("subscribe", { topic: "agents" });
  first.end();
  await owner.call("subscribe", { topic: "agents" });
  await owner.call("agent.update", { agent_id: agent.id, name: "Renamed" });
  await owner.pushed(agent.id, "the new name", (shown) => shown.name === "Renamed");
  const second = await server.wire();
  const resumed = await second.call("subscribe", { topic: "agents", since: { epoch, offset } });
  assert.equal(resumed.recovered, true);
  assert.deepEqual(
    resumed.changes.flatMap((change: Message) => change.upserts.map((item: Message) => item.name)),
    ["Renamed"],
  );
  for (const since of [
    { epoch: randomUUID(), offset },
    { epoch, offset: offset + 1_000 },
    { epoch: "__proto__", offset: 0 },
  ]) {
    const anew = await second.call("subscribe", { topic: "agents", since });
    assert.equal(anew.recovered, false);
    assert.equal(anew.items[0].name, "Renamed");
  }
});
