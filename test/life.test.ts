import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { runs } from "./support/local-gateway.ts";
import { refused } from "./support/refused.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

/** Silence that is longer than any deadline of the default configuration. */
const SILENCE_MS = 21 * 60_000;

/**
 * The whole life of an agent on a local gateway, as its owner, as a dashboard and as the agent's own process see it. The
 * process beats once when it connects and then by real time, which is far longer than this takes; the server's clock
 * is turned.
 */
async function live(server: TestServer, codec: "json" | "msgpack", name: string): Promise<void> {
  const owner = await server.wire({ codec });
  const watcher = await server.wire({ codec: codec === "json" ? "msgpack" : "json" });
  const { gateway, board } = await server.board(owner, "local");
  await watcher.call("subscribe", { topic: `agents:board:${board.id}` });
  const pushed = (agent: Message, what: string, test: (agent: Message) => unknown, from = 0) =>
    watcher.pushed(agent.id, what, test, from);

  // Created and provisioned.
  const { agent, token: shown } = await owner.call("agent.create", { name, board_id: board.id, wait: true });
  assert.equal(shown, undefined);
  await pushed(agent, "creation", (a) => a.name === name);
  const folder = join(gateway.workspace_root, `workspace-${name.toLowerCase()}`);
  const state = (file: string) => readFile(join(folder, ".muster", file), "utf8").then((text) => text.trim());
  assert.ok((await readdir(folder)).includes("AGENTS.md"));
  const firstToken = await state("token");

  // Its process attaches and beats.
  const online = await pushed(agent, "online", (a) => a.status === "online" && a.connected);
  assert.equal(online.last_seen_at, new Date(server.clock.now()).toISOString());
  const firstPid = Number(await state("runner.pid"));
  assert.ok(await runs(firstPid));
  const { task } = await owner.call("task.create", {
    board_id: board.id,
    title: "Live",
    status: "in_progress",
    assigned_agent_id: agent.id,
  });

  // Somebody else connects as the agent: the newest channel wins, the process ends by itself.
  const self = await server.wire({ codec, token: firstToken });
  await until(async () => !(await runs(firstPid)), { what: "the superseded process to end" });
  assert.equal((await self.call("heartbeat")).agent.status, "online");

  // Updated: a fresh token reaches the workspace, the connected agent is told its configuration.
  let from = watcher.received.length;
  const { agent: begun } = await owner.call("agent.update", {
    agent_id: agent.id,
    soul_template: "Be kind.",
  });
  assert.equal(begun.status, "updating");
  const config = await self.next("its configuration", (m) => m.method === "config");
  assert.equal(config.params.agent.soul_template, "Be kind.");
  const secondToken = await state("token");
  assert.notEqual(secondToken, firstToken);
  assert.equal(config.params.token, secondToken);
  assert.equal(self.closed, undefined);
  self.send({ jsonrpc: "2.0", id: config.id, result: { applied: config.params.hash } });
  await pushed(agent, "online again", (a) => a.status === "online" && a.soul_template === "Be kind.", from);
  assert.match(await readFile(join(folder, "SOUL.md"), "utf8"), /Be kind\./);

  // The new process uses the new token: the old one is dead.
  assert.equal((await self.closing()).code, 4403);
  await refused((await server.connect({ codec })).hello(firstToken), "unauthenticated");
  const secondPid = Number(await state("runner.pid"));
  assert.notEqual(secondPid, firstPid);
  assert.ok(await runs(secondPid));
  const checkedIn = () =>
    server.database`select 1 from agents where id = ${agent.id} and work_state = 'idle'`;
  await until(async () => (await checkedIn()).length === 1, { what: "the new process to check in" });

  // Silent, then heard again.
  from = watcher.received.length;
  server.clock.advance(SILENCE_MS);
  const offline = await pushed(agent, "offline", (a) => a.status === "offline", from);
  from = watcher.received.length;
  const beat = await fetch(`${server.url}/api/v1/agents/heartbeat`, {
    method: "POST",
    headers: { "x-agent-token": secondToken },
  });
  assert.equal(((await beat.json()) as Message).status, "online");
  const back = await pushed(agent, "online", (a) => a.status === "online", from);
  assert.ok(back.version > offline.version);

  // Deleted: nothing of it is left but what it did.
  assert.ok(await runs(secondPid));
  from = watcher.received.length;
  await owner.call("agent.delete", { agent_id: agent.id, wait: true });
  await watcher.next("its removal", (m) => m.params?.removes?.includes(agent.id), from);
  await refused(owner.call("agent.get", { agent_id: agent.id }), "not_found");
  const { task: released } = await owner.call("task.get", { task_id: task.id });
  assert.deepEqual(
    [released.status, released.assigned_agent_id, released.in_progress_at],
    ["inbox", null, null],
  );
  assert.equal(await runs(secondPid), false);
  assert.equal(existsSync(folder), false);
  await refused((await server.connect({ codec })).hello(secondToken), "unauthenticated");
  const { items } = await owner.call("activity.list", { board_id: board.id, limit: 500 });
  const told = items.filter((item: Message) => item.message.includes(name)).toReversed();
  assert.deepEqual([...new Set(told.map((item: Message) => item.agent_id))], [null]);
  const types = told.map((item: Message) => item.type);
  const milestones = [
    ...["agent.created", "agent.session.created", "agent.provision", "agent.wakeup.sent", "agent.heartbeat"],
    ...["agent.update.requested", "agent.update.direct", "agent.offline", "agent.delete.requested"],
    "agent.delete.direct",
  ];
  assert.deepEqual(
    milestones.filter((type) => types.includes(type)),
    milestones,
  );
  const order = milestones.map((type) => types.indexOf(type));
  assert.deepEqual(
    order,
    order.toSorted((one, other) => one - other),
  );
}

test("P11 P17 P3 B1 P22 a whole life on a local gateway", async (t) => {
  const server = await startTestServer(t);
  await t.test("in JSON", () => live(server, "json", "Ada"));
  await t.test("in MessagePack", () => live(server, "msgpack", "Grace"));
});
