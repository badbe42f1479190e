import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { until } from "./support/await.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

async function withAgent(t: TestContext) {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Worker", board_id: board.id });
  return { server, owner, id: String(agent.id), token: String(token) };
}

/** Keeps the server from reading a table while `during` runs. */
async function locked(server: TestServer, table: string, during: () => Promise<void>): Promise<void> {
  await server.database.begin(async (transaction) => {
    await transaction.unsafe(`lock table ${table} in access exclusive mode`);
    await during();
  });
}

const isWaiting = (server: TestServer) =>
  until(
    async () => {
      const [row] = await server.database`
        select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      return row !== undefined;
    },
    { what: "the server to wait for the lock" },
  );

const channelOf = (server: TestServer, id: string) => {
  const { registry, attachments } = server.services;
  return attachments.channelOf(registry.indexOf(id) ?? -1);
};

test("a socket that closes during hello leaves its agent not connected", async (t) => {
  const { server, owner, id, token } = await withAgent(t);
  const gone = await server.connect();
  await locked(server, "agent_tokens", async () => {
    gone.send({ id: 1, method: "hello", params: { token } });
    await isWaiting(server);
    gone.end();
    // Another session's end is seen after this one's.
    const other = await server.connect();
    other.end();
    await other.closing();
  });
  // What the lock held up has been answered by the time that another token has been looked up, and then some more.
  await server.wire();
  for (let i = 0; i < 5; i++)
    assert.equal((await owner.call("agent.get", { agent_id: id })).agent.connected, false);
  assert.equal(channelOf(server, id), undefined);
});

test("B13 the time of a command to an agent that is just being attached runs from the request", async (t) => {
  const { server, id, token } = await withAgent(t);
  const host = await server.wire({ token: null });
  await locked(server, "presence", async () => {
    host.send({ id: "attach", method: "agent.attach", params: { token } });
    await until(() => channelOf(server, id) !== undefined, { what: "the channel" });
    const late = channelOf(server, id)?.command("one", "do", {}, 5_000) ?? Promise.resolve("none");
    const refused = assert.rejects(late, /5000 ms/);
    server.clock.advance(5_000);
    await refused;
    const lost = channelOf(server, id)?.command("two", "do", {}, 5_000);
    host.end();
    assert.equal(await lost, "lost");
  });
});
