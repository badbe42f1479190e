import assert from "node:assert/strict";
import { test } from "node:test";
import { read } from "./support/agents.ts";
import { startTestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

test("heartbeats under other settings", async (t) => {
  const environment = {
    MUSTER_DISCONNECT_GRACE: "30s",
    MUSTER_HEARTBEAT_EVENTS: "every",
    MUSTER_OFFLINE_AFTER: "5m",
  };
  const server = await startTestServer(t, { environment });
  const owner = await server.wire();
  const watcher = await server.wire();
  await watcher.call("subscribe", { topic: "agents" });
  const { board } = await server.board(owner);
  const make = async (name: string): Promise<{ agent: Message; self: Wire; token: string }> => {
    const { agent, token } = await owner.call("agent.create", { name, board_id: board.id });
    const self = await server.wire({ token });
    await self.call("heartbeat");
    return { agent, self, token };
  };

  await t.test("B1 a lost socket is offline after the configured grace", async () => {
    const { agent, self } = await make("Graceful");
    self.end();
    await watcher.pushed(agent.id, "the loss", (a) => !a.connected && a.status === "online");
    server.clock.advance(28_000);
    assert.equal((await read(owner, agent)).status, "online");
    server.clock.advance(4_000);
    await watcher.pushed(agent.id, "offline", (a) => a.status === "offline");
  });

  await t.test("B1 who comes back within the grace stays online", async () => {
    const { agent, self, token } = await make("Returning");
    self.end();
    await watcher.pushed(agent.id, "the loss", (a) => !a.connected && a.status === "online");
    server.clock.advance(20_000);
    await server.wire({ token });
    const marker = await make("Later");
    marker.self.end();
    await watcher.pushed(marker.agent.id, "the other loss", (a) => !a.connected && a.status === "online");
    server.clock.advance(32_000);
    await watcher.pushed(marker.agent.id, "the other to be offline", (a) => a.status === "offline");
    assert.equal((await read(owner, agent)).status, "online");
  });

  await t.test("P20 every heartbeat leaves an event where that is wished", async () => {
    const { agent, self } = await make("Chatty");
    for (let n = 1; n <= 3; n++) await self.call("heartbeat", { n });
    const { items } = await owner.call("activity.list", { agent_id: agent.id, type: "agent.heartbeat" });
    assert.equal(items.length, 4);
    self.notify("heartbeat", { n: 4 });
    await self.next("the acknowledgement", (m) => m.method === "ack" && m.params.n === 4);
    const after = await owner.call("activity.list", { agent_id: agent.id, type: "agent.heartbeat" });
    assert.equal(after.items.length, 5);
  });
});
