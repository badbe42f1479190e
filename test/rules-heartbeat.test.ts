import assert from "node:assert/strict";
import { test } from "node:test";
import { comeOnline, create, read } from "./support/agents.ts";
import { until } from "./support/await.ts";
import { FakeDriver, managedBoard } from "./support/fake-driver.ts";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

/** The default configuration beats every 10 minutes, so silence is offline after twice that. */
const DEADLINE_MS = 20 * 60_000;

test("heartbeats and status", async (t) => {
  const gateway = new FakeDriver();
  const server = await startTestServer(t, { drivers: (usual) => ({ ...usual, openclaw: gateway }) });
  let owner = await server.wire();
  let watcher = await server.wire({ codec: "msgpack" });
  await watcher.call("subscribe", { topic: "agents" });
  const direct = await server.board(owner);
  const managed = await managedBoard(owner);
  const make = async (name: string, fields: object = {}): Promise<{ agent: Message; token: string }> =>
    owner.call("agent.create", { name, board_id: direct.board.id, ...fields });
  const typesOf = async ({ id }: Message): Promise<string[]> => {
    const { items } = await owner.call("activity.list", { agent_id: id, limit: 500 });
    return items.map((item: Message) => item.type).toReversed();
  };
  const seen = async (agent: Message) => (await read(owner, agent)).last_seen_at;
  const nowAt = () => new Date(server.clock.now()).toISOString();

  await t.test("P2 who was never seen stays in provisioning, however long", async () => {
    const { agent } = await make("Unseen");
    server.clock.advance(10 * DEADLINE_MS);
    assert.equal((await read(owner, agent)).status, "provisioning");
    assert.equal(await seen(agent), null);
  });

  await t.test("P3 a heartbeat sets last_seen and takes provisioning and offline to online", async () => {
    const { agent, token } = await make("Beater");
    const self = await server.wire({ token });
    assert.equal((await self.call("heartbeat")).agent.status, "online");
    assert.equal(await seen(agent), nowAt());
    server.clock.advance(DEADLINE_MS + 1_000);
    await watcher.pushed(agent.id, "offline", (a) => a.status === "offline");
    const from = watcher.received.length;
    assert.equal((await self.call("heartbeat")).agent.status, "online");
    await watcher.pushed(agent.id, "online", (a) => a.status === "online", from);
    assert.equal(await seen(agent), nowAt());
  });

  await t.test(
    "P2 silence is offline only after the deadline, which is at least twice the interval",
    async () => {
      const { agent, token } = await make("Slow", { heartbeat_config: { every: "1h" } });
      const self = await server.wire({ token });
      await self.call("heartbeat");
      server.clock.advance(2 * 60 * 60_000);
      const { token: other } = await make("Marker");
      await (await server.wire({ token: other })).call("heartbeat");
      assert.equal((await read(owner, agent)).status, "online");
      server.clock.advance(2_000);
      await watcher.pushed(agent.id, "offline", (a) => a.status === "offline");
      const { agent: quick, token: quickToken } = await make("Quick", { heartbeat_config: { every: "10s" } });
      const quickSelf = await server.wire({ token: quickToken });
      await quickSelf.call("heartbeat");
      server.clock.advance(10 * 60_000);
      await (await server.wire({ token: other })).call("heartbeat");
      assert.equal((await read(owner, quick)).status, "online");
      server.clock.advance(2_000);
      await watcher.pushed(quick.id, "offline", (a) => a.status === "offline");
    },
  );

  await t.test("B1 offline is one committed transition with its event, not an opinion", async () => {
    const { agent, token } = await make("Silent");
    await (await server.wire({ token })).call("heartbeat");
    server.clock.advance(DEADLINE_MS + 1_000);
    const { version } = await watcher.pushed(agent.id, "offline", (a) => a.status === "offline");
    const [row] = await server.database`select status, version from agents where id = ${agent.id}`;
    assert.deepEqual({ ...row }, { status: "offline", version });
    server.clock.advance(DEADLINE_MS);
    assert.deepEqual(await typesOf(agent), ["agent.created", "agent.heartbeat", "agent.offline"]);
  });

  await t.test("B1 an agent that signs off is offline at once", async () => {
    const { agent, token } = await make("Polite");
    const self = await server.wire({ token });
    await self.call("heartbeat");
    assert.equal((await self.call("heartbeat", { status: "offline" })).agent.status, "offline");
    await watcher.pushed(agent.id, "offline", (a) => a.status === "offline" && a.connected);
    await self.call("heartbeat");
    await self.call("agent.detach", { offline: true });
    const { status, connected } = await read(owner, agent);
    assert.deepEqual([status, connected], ["offline", false]);
    await refused(self.call("heartbeat"), "not_found");
  });

  await t.test("B1 a lost socket is not offline: connected turns false, the status waits", async () => {
    const { agent, token } = await make("Flaky");
    const self = await server.wire({ token });
    await self.call("heartbeat");
    await watcher.pushed(agent.id, "connected", (a) => a.connected && a.status === "online");
    self.end();
    const lost = await watcher.pushed(agent.id, "the loss", (a) => !a.connected && a.status === "online");
    assert.equal(lost.status, "online");
    server.clock.advance(DEADLINE_MS - 60_000);
    assert.equal((await read(owner, agent)).status, "online");
    server.clock.advance(62_000);
    await watcher.pushed(agent.id, "offline", (a) => a.status === "offline");
  });

  await t.test("P2 P3 updating and deleting win over silence and over heartbeats", async () => {
    const agent = await create(owner, managed.board, "Occupied");
    const self = await comeOnline(server, gateway, agent);
    for (const [method, step, status] of [
      ["agent.update", "session", "updating"],
      ["agent.delete", "unroster", "deleting"],
    ] as const) {
      const held = gateway.hold(step);
      await owner.call(method, { agent_id: agent.id, force: true });
      await held.reached();
      assert.equal((await self.call("heartbeat")).agent.status, status);
      assert.equal(await seen(agent), nowAt());
      assert.equal((await self.call("heartbeat", { status: "offline" })).agent.status, status);
      server.clock.advance(30_000);
      assert.equal((await read(owner, agent)).status, status);
      held.release();
      if (status === "updating") await gateway.called("wake", agent.id, 2);
      else await gateway.called("cleanUp", agent.id);
    }
  });

  await t.test("P5 any request of an agent counts as being seen, written at most every 30 s", async () => {
    const { agent, token } = await make("Talker");
    const other = await make("Listener");
    await owner.call("agent.heartbeat", { agent_id: other.agent.id });
    const self = await server.wire({ token });
    await self.call("heartbeat");
    const first = await seen(agent);
    server.clock.advance(29_000);
    await refused(self.call("agent.list"), "forbidden");
    await self.call("heartbeat", { n: 1 });
    const second = await seen(agent);
    assert.equal(second, nowAt());
    server.clock.advance(29_000);
    await refused(self.call("agent.list"), "forbidden");
    // Answered once committed, with all that came before it.
    await owner.call("agent.heartbeat", { agent_id: other.agent.id });
    assert.equal(await seen(agent), second);
    server.clock.advance(2_000);
    await refused(self.call("agent.list"), "forbidden");
    await until(async () => (await seen(agent)) === nowAt(), { what: "the request to count" });
    assert.notEqual(first, second);
    server.clock.advance(DEADLINE_MS + 1_000);
    const from = watcher.received.length;
    await watcher.pushed(agent.id, "offline", (a) => a.status === "offline");
    await refused(self.call("agent.list"), "forbidden");
    await watcher.pushed(agent.id, "online", (a) => a.status === "online", from);
  });

  await t.test("P18 an agent heartbeats itself only; an owner may do it for any", async () => {
    const [one, other] = [await make("Self"), await make("Other")];
    const self = await server.wire({ token: one.token });
    await refused(self.call("agent.heartbeat", { agent_id: other.agent.id }), "forbidden");
    assert.equal((await read(owner, other.agent)).status, "provisioning");
    const answer = await self.call("agent.heartbeat", { agent_id: one.agent.id, status: "online" });
    assert.equal(answer.agent.status, "online");
    const byOwner = await owner.call("agent.heartbeat", { agent_id: other.agent.id, stats: { cpu: 0.5 } });
    assert.deepEqual([byOwner.agent.status, byOwner.agent.id], ["online", other.agent.id]);
    await until(async () => (await read(owner, other.agent)).reported?.stats?.cpu === 0.5, {
      what: "the figures to show",
    });
  });

  await t.test("P19 an agent's token always means that agent, whatever name it gives", async () => {
    const { agent, token } = await make("Itself");
    const self = await server.wire({ token });
    for (const params of [{}, { name: "Somebody else" }, { name: "Other", board_id: managed.board.id }]) {
      const answer = await self.call("agent.heartbeat_or_create", params);
      assert.deepEqual([answer.agent.id, answer.created, answer.agent.name], [agent.id, false, "Itself"]);
    }
  });

  await t.test(
    "P19 a user's call finds the agent by name and board, or creates and provisions it",
    async () => {
      const call = (params: object) => owner.call("agent.heartbeat_or_create", params);
      const { agent } = await make("By name");
      const found = await call({ name: "  BY NAME " });
      assert.deepEqual([found.agent.id, found.created, found.agent.status], [agent.id, false, "online"]);
      const made = await call({ name: "By name", board_id: managed.board.id });
      assert.equal(made.created, true);
      assert.equal(made.agent.board_id, managed.board.id);
      await gateway.called("wake", made.agent.id);
      assert.equal((await call({ name: "by name", board_id: managed.board.id })).agent.id, made.agent.id);
      await refused(call({}), "unprocessable", "name is required");
      await refused(call({ name: "New one" }), "unprocessable", "board_id is required");
    },
  );

  await t.test("P19 a found agent without a token gets one, through its gateway", async () => {
    const agent = await create(owner, managed.board, "Tokenless");
    await server.database`delete from agent_tokens where agent_id = ${agent.id}`;
    await owner.call("agent.heartbeat_or_create", { name: "Tokenless", board_id: managed.board.id });
    await gateway.called("wake", agent.id, 2);
    await comeOnline(server, gateway, agent);
  });

  await t.test("P19 a found agent that has no session yet is provisioned again", async () => {
    gateway.fail("session", "no room for sessions");
    const agent = await create(owner, managed.board, "Sessionless");
    const from = gateway.calls.length;
    const params = { name: "Sessionless", board_id: managed.board.id };
    const { created } = await owner.call("agent.heartbeat_or_create", params);
    assert.equal(created, false);
    await gateway.called("wake", agent.id);
    assert.deepEqual(gateway.stepsOf(agent.id, from), ["session", "roster", "files", "wake"]);
    await comeOnline(server, gateway, agent);
    await owner.call("agent.heartbeat_or_create", params);
    assert.equal(gateway.stepsOf(agent.id, from).length, 4);
  });

  await t.test("P20 by default only heartbeats that change the status leave an event", async () => {
    const { agent, token } = await make("Discreet");
    const self = await server.wire({ token });
    for (let n = 1; n <= 5; n++) await self.call("heartbeat", { n });
    assert.deepEqual(await typesOf(agent), ["agent.created", "agent.heartbeat"]);
    await self.call("heartbeat", { status: "offline" });
    await self.call("heartbeat");
    assert.deepEqual(await typesOf(agent), [
      ...["agent.created", "agent.heartbeat", "agent.heartbeat", "agent.offline"],
      "agent.heartbeat",
    ]);
  });

  await t.test("B2 after a start nobody goes offline before a full deadline has passed", async () => {
    const { agent, token } = await make("Patient");
    await (await server.wire({ token })).call("heartbeat");
    await server.stop();
    server.clock.advance(5 * DEADLINE_MS);
    await server.start();
    owner = await server.wire();
    watcher = await server.wire();
    await watcher.call("subscribe", { topic: "agents" });
    server.clock.advance(DEADLINE_MS - 1_000);
    assert.equal((await read(owner, agent)).status, "online");
    server.clock.advance(3_000);
    await watcher.pushed(agent.id, "offline", (a) => a.status === "offline");
  });
});
