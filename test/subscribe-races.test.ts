import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

test("B11 a right that is lost while a subscription is under way is not given by it", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const topic = `agents:board:${board.id}`;
  let release = () => {};
  const locked = new Promise<void>((resolve) => {
    release = resolve;
  });
  let isLocked = false;
  const lock = server.database.begin(async (transaction) => {
    await transaction`lock table boards in access exclusive mode`;
    isLocked = true;
    await locked;
  });
  await until(() => isLocked, { what: "the lock" });
  const answer = owner.ask({ method: "subscribe", params: { topic } });
  await until(
    async () => {
      const waiting = await server.database`select 1 from pg_stat_activity where wait_event_type = 'Lock'`;
      return waiting.length > 0;
    },
    { what: "the subscription to wait for the lock" },
  );
  await server.database`update members set role = 'member' where user_id = ${server.organization.ownerId}`;
  await until(
    async () => {
      server.clock.advance(1_000);
      const { error } = await owner.ask({ method: "organization.get" });
      assert.equal(error, undefined);
      const { error: refused } = await owner.ask({ method: "agent.list" });
      return refused?.data.reason === "forbidden";
    },
    { what: "the role to count" },
  );
  release();
  await lock;
  assert.equal((await answer).error.data.reason, "forbidden");
});

test("B11 a subscription in a batch is answered before its changes come", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Slow", board_id: board.id });
  const slow = await server.wire({ token });
  const watcher = await server.wire();
  watcher.send([
    { id: 900, method: "subscribe", params: { topic: "agents" } },
    { id: 901, method: "agent.command", params: { agent_id: agent.id, name: "wait" } },
  ]);
  const command = await slow.next("the command", (m) => m.method === "command");
  const made = await owner.call("agent.create", { name: "New", board_id: board.id });
  await owner.call("subscribe", { topic: "agents" });
  await owner.call("agent.update", { agent_id: made.agent.id, name: "Newer" });
  await owner.pushed(made.agent.id, "the change", (a) => a.name === "Newer");
  slow.send({ id: command.id, result: 1 });
  await watcher.pushed(made.agent.id, "the change", (a) => a.name === "Newer");
  const order = watcher.received.map((m: Message) => m.method ?? m.id);
  assert.deepEqual(order.slice(0, 2), [900, 901]);
  const [{ result }] = watcher.received;
  const offsets = watcher.received.filter((m) => m.method === "change").map((m) => m.params.offset);
  assert.deepEqual(
    offsets,
    offsets.map((_, position) => result.offset + 1 + position),
  );
});
