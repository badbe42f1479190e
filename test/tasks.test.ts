import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

test("tasks", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire({ codec: "msgpack" });
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Hands", board_id: board.id });
  const create = async (title: string, fields: object = {}): Promise<Message> =>
    (await owner.call("task.create", { board_id: board.id, title, ...fields })).task;
  const update = async (task: Message, fields: object): Promise<Message> =>
    (await owner.call("task.update", { task_id: task.id, ...fields })).task;
  const nowAt = () => new Date(server.clock.now()).toISOString();

  await t.test("a task starts in the inbox, unassigned", async () => {
    const task = await create("  Sweep ");
    assert.deepEqual(
      [task.title, task.status, task.assigned_agent_id, task.in_progress_at, task.board_id],
      ["Sweep", "inbox", null, null, board.id],
    );
    assert.deepEqual((await owner.call("task.get", { task_id: task.id })).task, task);
  });

  await t.test("in_progress_at says since when it is in progress, and goes with that", async () => {
    const task = await create("Timed");
    server.clock.advance(1_000);
    const begun = await update(task, { status: "in_progress", assigned_agent_id: agent.id });
    const since = nowAt();
    assert.deepEqual([begun.in_progress_at, begun.assigned_agent_id], [since, agent.id]);
    server.clock.advance(1_000);
    const again = await update(task, { status: "in_progress", title: "Timed, renamed" });
    assert.deepEqual(
      [again.in_progress_at, again.title, again.updated_at],
      [since, "Timed, renamed", nowAt()],
    );
    assert.equal((await update(task, { title: "Timed" })).in_progress_at, since);
    assert.equal((await update(task, { status: "review" })).in_progress_at, null);
    assert.equal((await update(task, { assigned_agent_id: null })).assigned_agent_id, null);
  });

  await t.test("lists filter by board, agent and status, newest first, in pages", async () => {
    server.clock.advance(1_000);
    const mine = await create("Mine", { assigned_agent_id: agent.id, status: "review" });
    const list = (params: object) => owner.call("task.list", params);
    const ids = (answer: Message) => answer.items.map((item: Message) => item.id);
    assert.deepEqual(ids(await list({ assigned_agent_id: agent.id })), [mine.id]);
    assert.deepEqual(ids(await list({ board_id: board.id, status: "inbox" })).length, 1);
    const first = await list({ limit: 2 });
    assert.deepEqual([first.items[0].id, first.total], [mine.id, 3]);
    const rest = await list({ limit: 2, cursor: first.next_cursor });
    assert.deepEqual([rest.items.length, rest.next_cursor], [1, null]);
    assert.deepEqual(ids(await list({ limit: 2, offset: 2 })), ids(rest));
    await refused(list({ board_id: randomUUID() }), "not_found", "Board not found");
  });

  await t.test("what is wrong with a task is said, and nothing is written", async () => {
    const task = await create("Checked");
    await refused(update(task, { status: "someday" }), "invalid_params", /status/);
    await refused(update(task, { title: " " }), "invalid_params", /title/);
    await refused(update(task, { assigned_agent_id: randomUUID() }), "not_found", "Agent not found");
    await refused(update({ id: randomUUID() }, { title: "x" }), "not_found", "Task not found");
    await refused(create("No board", { board_id: randomUUID() }), "not_found", "Board not found");
    await refused(create("Surplus", { colour: "red" }), "invalid_params", /colour/);
    assert.deepEqual((await owner.call("task.get", { task_id: task.id })).task, task);
    const self = await server.wire({ token });
    await refused(self.call("task.create", { board_id: board.id, title: "By an agent" }), "forbidden");
  });

  await t.test("every change of a task leaves an event in the log, pushed to who watches it", async () => {
    const watcher = await server.wire();
    await watcher.call("subscribe", { topic: `activity:board:${board.id}` });
    const task = await create("Logged");
    await update(task, { status: "done" });
    assert.deepEqual(await owner.call("task.delete", { task_id: task.id }), { ok: true });
    assert.deepEqual(await owner.call("task.delete", { task_id: task.id }), { ok: true });
    await refused(owner.call("task.get", { task_id: task.id }), "not_found");
    const told = () =>
      watcher.received
        .flatMap((m) => (m.method === "change" ? m.params.upserts : []) as Message[])
        .filter((event) => event.task_id !== null);
    await watcher.next("the last event", () => told().some((event) => event.type === "task.deleted"));
    assert.deepEqual(
      told().map((event) => [event.type, event.task_id]),
      ["created", "updated", "deleted"].map((verb) => [`task.${verb}`, task.id]),
    );
    const { items } = await owner.call("activity.list", { board_id: board.id, limit: 3 });
    assert.deepEqual(items.toReversed(), told());
  });
});
