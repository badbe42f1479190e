import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { FakeDriver, managedBoard } from "./support/fake-driver.ts";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";

/** A direct agent, a watcher of it, and somebody who writes its row behind the server's back. */
async function stand(t: TestContext) {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Scout", board_id: board.id });
  const scout = await server.wire({ token });
  const watcher = await server.wire();
  await watcher.call("subscribe", { topic: "agents" });
  const events = async (type: string) => {
    const { items } = await owner.call("activity.list", { type });
    return items.length;
  };
  return { server, owner, board, agent, scout, watcher, events };
}

test("an agent's row that somebody else has written: what is there counts, and the event still happens, once", async (t) => {
  const { server, agent, scout, watcher, events } = await stand(t);
  await server.database`update agents set version = version + 7, name = 'Ranger' where id = ${agent.id}`;
  scout.notify("heartbeat", { n: 1 });
  await scout.next("the ack", (m) => m.method === "ack" && m.params.n === 1);
  const online = await watcher.pushed(agent.id, "online", (a) => a.status === "online");
  assert.equal(online.name, "Ranger");
  assert.equal(online.version, agent.version + 8);
  assert.equal(await events("agent.heartbeat"), 1);
  // From here on memory and row are one again.
  scout.notify("heartbeat", { n: 2, status: "offline" });
  const offline = await watcher.pushed(agent.id, "offline", (a) => a.status === "offline");
  assert.equal(offline.version, agent.version + 9);
});

test("an agent moved by somebody else's hand leaves the old board's view", async (t) => {
  const { server, owner, board, agent, scout } = await stand(t);
  const { board: other } = await server.board(owner);
  const watcher = await server.wire();
  await watcher.call("subscribe", { topic: `agents:board:${board.id}` });
  await server.database`update agents set version = version + 1, board_id = ${other.id} where id = ${agent.id}`;
  scout.notify("heartbeat", { n: 1 });
  await watcher.next("its removal", (m) => m.method === "change" && m.params.removes.includes(agent.id));
});

test("an agent whose row somebody else has deleted is gone: not found, its socket is told, its watchers see it go", async (t) => {
  const { server, owner, agent, scout, watcher } = await stand(t);
  await server.database`delete from agents where id = ${agent.id}`;
  scout.notify("heartbeat", { n: 1, status: "offline" });
  await scout.next("detached", (m) => m.method === "detached" && m.params.reason === "deleted");
  await watcher.next("its removal", (m) => m.method === "change" && m.params.removes.includes(agent.id));
  await refused(owner.call("agent.get", { agent_id: agent.id }), "not_found");
  assert.equal(server.services.registry.indexOf(agent.id), undefined);
});

test("B4 work at a gateway goes on although somebody else has written the agent's row in between", async (t) => {
  const gateway = new FakeDriver();
  const server = await startTestServer(t, { drivers: () => ({ openclaw: gateway }) });
  const owner = await server.wire();
  const { board } = await managedBoard(owner);
  const files = gateway.hold("files");
  const { agent } = await owner.call("agent.create", { name: "Ada", board_id: board.id });
  await files.reached();
  await server.database`update agents set version = version + 1 where id = ${agent.id}`;
  files.release();
  await gateway.called("wake", agent.id);
  assert.deepEqual(gateway.stepsOf(agent.id), ["session", "roster", "files", "wake"]);
});

test("an agent that somebody else writes all the time: the request is refused as a conflict, and the next one works", async (t) => {
  const { server, owner, agent } = await stand(t);
  // Every update finds nothing to change, as if the row had just moved on.
  await server.database.unsafe(`
    create function meddle() returns trigger language plpgsql as $$
    begin return null; end $$;
    create trigger meddle before update on agents for each row execute function meddle()`);
  await refused(owner.call("agent.update", { agent_id: agent.id, name: "Ranger" }), "conflict");
  await server.database.unsafe("drop trigger meddle on agents");
  await owner.call("agent.update", { agent_id: agent.id, name: "Ranger" });
});
