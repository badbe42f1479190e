import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { FakeDriver, managedBoard } from "./support/fake-driver.ts";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

test("deleting agents", async (t) => {
  const gateway = new FakeDriver();
  const server = await startTestServer(t, { drivers: (usual) => ({ ...usual, openclaw: gateway }) });
  let owner = await server.wire();
  const { board } = await managedBoard(owner);
  const create = async (name: string, fields: object = {}): Promise<Message> =>
    (await owner.call("agent.create", { name, board_id: board.id, wait: true, ...fields })).agent;
  const drop = (agent: Message, fields: object = {}, wire: Wire = owner) =>
    wire.call("agent.delete", { agent_id: agent.id, wait: true, ...fields });
  const gone = (agent: Message) => refused(owner.call("agent.get", { agent_id: agent.id }), "not_found");
  const selfOf = (agent: Message) => server.wire({ token: gateway.tokens.get(agent.id) ?? "" });

  await t.test("P21 owners and admins delete; agents, leads too, and members do not", async () => {
    const lead = await create("Lead", { is_board_lead: true });
    const asLead = await selfOf(lead);
    await refused(drop(lead, {}, asLead), "forbidden");
    const member = await server.addOrganization("Members");
    await server.database`update members set role = 'member' where user_id = ${member.ownerId}`;
    await refused(drop(lead, {}, await server.wire({ token: member.token })), "forbidden");
    assert.equal((await owner.call("agent.get", { agent_id: lead.id })).agent.id, lead.id);
  });

  await t.test("P21 deleting what does not exist is fine", async () => {
    assert.deepEqual(await drop({ id: randomUUID() }), { ok: true });
    const agent = await create("Twice");
    assert.deepEqual(await drop(agent), { ok: true });
    assert.deepEqual(await drop(agent), { ok: true });
    const both = await create("At once");
    assert.deepEqual(await Promise.all([drop(both), drop(both)]), [{ ok: true }, { ok: true }]);
    await gone(both);
  });

  await t.test("P22 the gateway first, then the row, then the workspace", async () => {
    const agent = await create("Orderly");
    const held = gateway.hold("unsession");
    const deleting = drop(agent);
    await held.reached();
    const { agent: meanwhile } = await owner.call("agent.get", { agent_id: agent.id });
    assert.equal(meanwhile.status, "deleting");
    assert.deepEqual(gateway.stepsOf(agent.id).slice(4), ["unroster", "unsession"]);
    held.release();
    assert.deepEqual(await deleting, { ok: true });
    await gone(agent);
    await gateway.called("cleanUp", agent.id);
    assert.deepEqual(gateway.stepsOf(agent.id).slice(4), ["unroster", "unsession", "cleanUp"]);
  });

  await t.test(
    "P22 its tasks are released and its activity loses it, in the transaction that takes the row",
    async () => {
      const agent = await create("Busy");
      server.clock.advance(1_000);
      const task = async (status: string) =>
        (
          await owner.call("task.create", {
            board_id: board.id,
            title: status,
            status,
            assigned_agent_id: agent.id,
          })
        ).task;
      const [current, done] = [await task("in_progress"), await task("done")];
      assert.notEqual(current.in_progress_at, null);
      await drop(agent);
      const after = async ({ id }: Message) => (await owner.call("task.get", { task_id: id })).task;
      const [released, kept] = [await after(current), await after(done)];
      assert.deepEqual(
        [released.status, released.assigned_agent_id, released.in_progress_at],
        ["inbox", null, null],
      );
      assert.deepEqual([kept.status, kept.assigned_agent_id], ["done", null]);
      const { items } = await owner.call("activity.list", { board_id: board.id, limit: 500 });
      const about = items.filter((item: Message) => item.message.startsWith("Busy was"));
      assert.ok(about.some((item: Message) => item.type === "agent.created"));
      assert.ok(about.some((item: Message) => item.type === "agent.delete.direct"));
      assert.deepEqual([...new Set(about.map((item: Message) => item.agent_id))], [null]);
    },
  );

  await t.test("P22 the gateway's refusal keeps the agent as its last_seen says", async () => {
    const agent = await create("Kept");
    await (await selfOf(agent)).call("heartbeat");
    gateway.fail("unroster", "the list is locked");
    await refused(drop(agent), "gateway_failed", "Gateway cleanup failed: the list is locked");
    const { agent: after } = await owner.call("agent.get", { agent_id: agent.id });
    assert.deepEqual([after.status, after.last_error], ["online", "the list is locked"]);
    const { items } = await owner.call("activity.list", { agent_id: agent.id, type: "agent.delete.failed" });
    assert.equal(items.length, 1);
    assert.equal((await (await selfOf(agent)).call("heartbeat")).agent.status, "online");
    await drop(agent);
    await gone(agent);
  });

  await t.test("B10 force deletes although the gateway is gone", async () => {
    const agent = await create("Orphan");
    gateway.fail("unroster", "no such host");
    gateway.fail("unsession", "no such host");
    assert.deepEqual(await drop(agent, { force: true }), { ok: true });
    await gone(agent);
    const stuck = await create("Stuck");
    gateway.fail("unroster", "connection refused", { transient: true });
    await owner.call("agent.delete", { agent_id: stuck.id });
    await until(
      async () => {
        const [row] = await server.database`
        select 1 from agents where id = ${stuck.id} and work_state = 'waiting'`;
        return row !== undefined;
      },
      { what: "the delete to wait for the gateway" },
    );
    await drop(stuck, { force: true });
    await gone(stuck);
  });

  await t.test(
    "B10 its socket is told and closed, a host's channel ends, its token is dead at once",
    async () => {
      const [alone, hosted] = [await create("Alone"), await create("Hosted")];
      const self = await selfOf(alone);
      const host = await server.wire({ token: null, codec: "msgpack" });
      const token = gateway.tokens.get(hosted.id) ?? "";
      const { ch } = await host.call("agent.attach", { token });
      await drop(alone);
      assert.equal((await self.next("the word", (m) => m.method === "detached")).params.reason, "deleted");
      assert.equal((await self.closing()).code, 4403);
      await drop(hosted);
      const told = await host.next("the word", (m) => m.method === "detached");
      assert.deepEqual(told.params, { ch, reason: "deleted" });
      await refused(host.call("agent.attach", { token }), "unauthenticated");
      assert.equal(host.closed, undefined);
      const late = await server.connect();
      await refused(late.hello(gateway.tokens.get(alone.id)), "unauthenticated");
    },
  );

  await t.test("B10 a gateway's main agent can be deleted too", async () => {
    const agent = await create("Main");
    await owner.call("agent.update", { agent_id: agent.id, is_gateway_main: true, wait: true });
    assert.deepEqual(await drop(agent), { ok: true });
    await gone(agent);
  });

  await t.test("P22 a deleted agent's name and its place are free for another", async () => {
    const first = await create("Reborn");
    await drop(first);
    const second = await create("Reborn");
    assert.notEqual(second.id, first.id);
    assert.equal(second.last_seen_at, null);
    assert.equal((await (await selfOf(second)).call("heartbeat")).agent.status, "online");
  });

  await t.test("P22 a direct agent is gone at once, and who watches is told", async () => {
    const watcher = await server.wire();
    const own = await server.board(owner);
    const { agent } = await owner.call("agent.create", { name: "Direct", board_id: own.board.id });
    await watcher.call("subscribe", { topic: `agents:agent:${agent.id}` });
    await watcher.call("subscribe", { topic: "agents" });
    await owner.call("agent.delete", { agent_id: agent.id });
    await gone(agent);
    await watcher.next(
      "its removal",
      (m) => m.params?.topic === "agents" && m.params.removes.includes(agent.id),
    );
    const end = await watcher.next("the end of its topic", (m) => m.method === "end");
    assert.deepEqual(end.params, { topic: `agents:agent:${agent.id}`, reason: "deleted" });
  });

  await t.test("B10 a delete that was under way ends after a restart", async () => {
    const agent = await create("Interrupted");
    const held = gateway.hold("unsession");
    await owner.call("agent.delete", { agent_id: agent.id });
    await held.reached();
    await server.restart();
    owner = await server.wire();
    await gateway.called("cleanUp", agent.id);
    await gone(agent);
    assert.deepEqual(gateway.stepsOf(agent.id).slice(4), ["unroster", "unsession", "unsession", "cleanUp"]);
  });
});
