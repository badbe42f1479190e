import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestServer } from "./support/server.ts";

test("requests about one topic take effect in the order in which they were sent", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent } = await owner.call("agent.create", { name: "Scout", board_id: board.id });
  const topic = `agents:agent:${agent.id}`;
  const watcher = await server.wire();
  await watcher.call("subscribe", { topic: "agents" });
  // The first has to look the agent up, the second nothing: all the same the second is the last word.
  await Promise.all([watcher.call("subscribe", { topic }), watcher.call("unsubscribe", { topic })]);
  await owner.call("agent.update", { agent_id: agent.id, name: "Renamed" });
  await watcher.pushed(agent.id, "the change elsewhere", ({ name }) => name === "Renamed");
  await watcher.call("organization.get");
  assert.deepEqual(
    watcher.received.filter(({ params }) => params.topic === topic),
    [],
  );
});
