import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestServer } from "./support/server.ts";

test("P11 a direct agent is created, attaches, beats and is online for who watches", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const watcher = await server.wire({ codec: "msgpack" });
  const { board } = await server.board(owner);
  const { epoch } = await watcher.call("subscribe", { topic: "agents" });
  assert.equal(typeof epoch, "string");
  const { agent, token } = await owner.call("agent.create", { name: "Scout", board_id: board.id });
  assert.equal(agent.status, "provisioning");
  const scout = await server.wire({ token });
  scout.notify("heartbeat", { n: 1 });
  await scout.next("ack", (m) => m.method === "ack" && m.params.n === 1);
  const online = await watcher.pushed(agent.id, "online", (a) => a.status === "online");
  assert.equal(online.connected, true);
  await owner.call("agent.update", { agent_id: agent.id, name: "Scout 2" });
  await watcher.pushed(agent.id, "renamed", (a) => a.name === "Scout 2");
  server.clock.advance(21 * 60_000);
  await watcher.pushed(agent.id, "offline", (a) => a.status === "offline");
  scout.notify("heartbeat", { n: 2 });
  await watcher.pushed(agent.id, "online again", (a) => a.status === "online" && a.version > 3);
  await owner.call("agent.delete", { agent_id: agent.id });
  await watcher.next("removal", (m) => m.method === "change" && m.params.removes.includes(agent.id));
  assert.equal((await scout.closing()).code, 4403);
});
