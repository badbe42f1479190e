import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { until } from "./support/await.ts";
import { FakeDriver, managedBoard } from "./support/fake-driver.ts";
import { createTestDatabase } from "./support/postgres.ts";
import { startPostgresProxy } from "./support/postgres-proxy.ts";
import { refused } from "./support/refused.ts";
import { TestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

/** A server whose way to Postgres can be cut in the middle of a COMMIT. */
async function stand(t: TestContext) {
  const database = await createTestDatabase();
  const dataDir = await mkdtemp(join(tmpdir(), "muster-cut-"));
  const proxy = await startPostgresProxy(t, database.url);
  const gateway = new FakeDriver();
  const server = new TestServer(
    database.url,
    dataDir,
    { DATABASE_URL: proxy.url },
    { drivers: () => ({ openclaw: gateway }) },
  );
  t.after(async () => {
    await server.close();
    await database.drop();
    await rm(dataDir, { recursive: true, force: true });
  });
  await server.start();
  server.organization = await server.addOrganization("Test");
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const watcher = await server.wire();
  await watcher.call("subscribe", { topic: "agents" });
  const eventsOf = async (agentId: string) =>
    (
      await server.database<{ type: string }[]>`
        select type from activity where agent_id = ${agentId} order by seq`
    ).map(({ type }) => type);
  return { server, proxy, gateway, owner, board, watcher, eventsOf };
}

test("B3 a create whose COMMIT was carried out but not answered succeeds: one agent, one event, a token that works", async (t) => {
  const { server, proxy, owner, board, watcher, eventsOf } = await stand(t);
  const params = { name: "Ada", board_id: board.id, idempotency_key: "once" };
  proxy.meet("answer lost");
  const { agent, token } = await owner.call("agent.create", params);
  assert.equal(proxy.met, true);
  assert.deepEqual(await eventsOf(agent.id), ["agent.created"]);
  const ada = await server.wire({ token });
  ada.notify("heartbeat", { n: 1 });
  await ada.next("the ack", (m) => m.method === "ack");
  await watcher.pushed(agent.id, "online", (a) => a.status === "online");
  const again = await owner.call("agent.create", params);
  assert.deepEqual([again.agent.id, again.token], [agent.id, token]);
});

test("B3 a create whose COMMIT never arrived is refused as unavailable, and works when it is repeated", async (t) => {
  const { proxy, owner, board } = await stand(t);
  const params = { name: "Ada", board_id: board.id, idempotency_key: "once" };
  proxy.meet("request lost");
  await refused(owner.call("agent.create", params), "unavailable", /nothing was done/);
  assert.equal(proxy.met, true);
  assert.equal((await owner.call("agent.list")).total, 0);
  await owner.call("agent.create", params);
  assert.equal((await owner.call("agent.list")).total, 1);
});

test("B3 B8 a first heartbeat whose COMMIT is cut is acknowledged once it is there, and told once", async (t) => {
  const { server, proxy, owner, board, watcher, eventsOf } = await stand(t);
  for (const fate of ["answer lost", "request lost"] as const) {
    const { agent, token } = await owner.call("agent.create", { name: fate, board_id: board.id });
    const wire = await server.wire({ token });
    proxy.meet(fate);
    wire.notify("heartbeat", { n: 1 });
    await wire.next("the ack", (m) => m.method === "ack" && m.params.n === 1);
    assert.equal(proxy.met, true);
    const [row] = await server.database`
      select a.status, a.version, p.last_seen_at from agents a join last_seen p on p.agent_no = a.no
      where a.id = ${agent.id}`;
    assert.deepEqual(
      { ...row },
      { status: "online", version: 2, last_seen_at: new Date(server.clock.now()) },
    );
    assert.deepEqual(await eventsOf(agent.id), ["agent.created", "agent.heartbeat"]);
    await watcher.pushed(agent.id, "online", (a) => a.status === "online");
    assert.equal(wire.closed, undefined);
  }
});

test("B4 a step whose COMMIT is cut is not lost, and its event is told once", async (t) => {
  const { proxy, gateway, owner, eventsOf } = await stand(t);
  const { board } = await managedBoard(owner);
  for (const fate of ["answer lost", "request lost"] as const) {
    const files = gateway.hold("files");
    const { agent } = await owner.call("agent.create", { name: fate, board_id: board.id });
    await files.reached();
    proxy.meet(fate);
    files.release();
    await until(async () => (await eventsOf(agent.id)).includes("agent.wakeup.sent"), {
      what: "its wake-up",
    });
    assert.equal(proxy.met, true);
    assert.deepEqual(gateway.stepsOf(agent.id), ["session", "roster", "files", "wake"]);
    assert.deepEqual(await eventsOf(agent.id), [
      "agent.created",
      "agent.session.created",
      "agent.provision",
      "agent.wakeup.sent",
    ]);
  }
});

test("B3 an update and a delete whose COMMIT is not answered are done, once", async (t) => {
  const { server, proxy, owner, board, watcher, eventsOf } = await stand(t);
  const { agent } = await owner.call("agent.create", { name: "Ada", board_id: board.id });
  proxy.meet("answer lost");
  const { agent: updated } = await owner.call("agent.update", { agent_id: agent.id, name: "Bea" });
  assert.equal(proxy.met, true);
  assert.deepEqual([updated.name, updated.version], ["Bea", 2]);
  assert.deepEqual(await eventsOf(agent.id), ["agent.created", "agent.update.direct"]);
  proxy.meet("answer lost");
  assert.deepEqual(await owner.call("agent.delete", { agent_id: agent.id }), { ok: true });
  assert.equal(proxy.met, true);
  await watcher.next(
    "its removal",
    (m: Message) => m.method === "change" && m.params.removes.includes(agent.id),
  );
  assert.equal((await owner.call("agent.list")).total, 0);
  const [row] = await server.database`select count(*) from activity where type = 'agent.delete.direct'`;
  assert.equal(row?.count, 1);
});
