import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

test("boards, gateways and the log", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { gateway, board } = await server.board(owner);

  await t.test("a board has a slug of its name, and its own settings", async () => {
    const { board: made } = await owner.call("board.create", {
      name: " Spring  Cleaning! ",
      gateway_id: gateway.id,
      objective: "No dust",
      success_metrics: { dust: 0 },
      target_date: "2030-03-20",
    });
    assert.deepEqual(
      [made.name, made.slug, made.type, made.success_metrics, made.target_date, made.gateway_id],
      ["Spring  Cleaning!", "spring-cleaning", "goal", { dust: 0 }, "2030-03-20", gateway.id],
    );
    assert.deepEqual((await owner.call("board.get", { board_id: made.id })).board, made);
    await refused(owner.call("board.create", { name: "Spring cleaning" }), "conflict", /slug/);
    const { board: later } = await owner.call("board.update", {
      board_id: made.id,
      target_date: null,
      name: "Autumn",
    });
    assert.deepEqual(
      [later.target_date, later.name, later.slug, later.objective],
      [null, "Autumn", "spring-cleaning", "No dust"],
    );
    assert.match((await owner.call("board.create", { name: "???" })).board.slug, /^[0-9a-f]+$/);
  });

  await t.test("what is wrong with a board is said", async () => {
    await refused(owner.call("board.create", { name: "" }), "invalid_params", /name/);
    await refused(owner.call("board.create", { name: "A", slug: "No Slug" }), "invalid_params", /slug/);
    await refused(
      owner.call("board.create", { name: "A", target_date: "soon" }),
      "invalid_params",
      /target_date/,
    );
    await refused(
      owner.call("board.create", { name: "A", gateway_id: randomUUID() }),
      "not_found",
      "Gateway not found",
    );
    await refused(
      owner.call("board.update", { board_id: randomUUID(), name: "A" }),
      "not_found",
      "Board not found",
    );
  });

  await t.test(
    "a board with agents, and a gateway with boards, cannot be deleted; empty ones can",
    async () => {
      const own = await server.board(owner);
      const { agent } = await owner.call("agent.create", { name: "Tenant", board_id: own.board.id });
      const { task } = await owner.call("task.create", { board_id: own.board.id, title: "Chore" });
      await refused(owner.call("board.delete", { board_id: own.board.id }), "conflict", /still has agents/);
      await refused(owner.call("gateway.delete", { gateway_id: own.gateway.id }), "conflict", /still has/);
      await owner.call("agent.delete", { agent_id: agent.id });
      const watcher = await server.wire();
      const topics = [`agents:board:${own.board.id}`, `agents:gateway:${own.gateway.id}`];
      for (const topic of topics) await watcher.call("subscribe", { topic });
      assert.deepEqual(await owner.call("board.delete", { board_id: own.board.id }), { ok: true });
      assert.deepEqual(await owner.call("gateway.delete", { gateway_id: own.gateway.id }), { ok: true });
      for (const topic of topics)
        await watcher.next(`the end of ${topic}`, (m) => m.method === "end" && m.params.topic === topic);
      await refused(owner.call("task.get", { task_id: task.id }), "not_found");
      for (const method of ["board", "gateway"])
        assert.deepEqual(await owner.call(`${method}.delete`, { [`${method}_id`]: randomUUID() }), {
          ok: true,
        });
    },
  );

  await t.test("boards are listed by gateway, newest first", async () => {
    const own = await server.board(owner);
    server.clock.advance(10);
    const { board: second } = await owner.call("board.create", { name: "Newer", gateway_id: own.gateway.id });
    const { items, total } = await owner.call("board.list", { gateway_id: own.gateway.id });
    assert.deepEqual(
      items.map((item: Message) => item.id),
      [second.id, own.board.id],
    );
    assert.equal(total, 2);
    const { items: page } = await owner.call("board.list", {
      gateway_id: own.gateway.id,
      limit: 1,
      offset: 1,
    });
    assert.equal(page[0].id, own.board.id);
  });

  await t.test("a gateway's token is kept sealed and never shown", async () => {
    const { gateway: made } = await owner.call("gateway.create", {
      name: "G",
      url: "ws://127.0.0.1:1",
      token: "hush-hush",
    });
    assert.deepEqual([made.kind, made.has_token, made.token], ["openclaw", true, undefined]);
    const [row] = await server.database`select token_sealed from gateways where id = ${made.id}`;
    assert.ok(!row?.token_sealed.toString("latin1").includes("hush"));
    const { gateway: bare } = await owner.call("gateway.update", {
      gateway_id: made.id,
      token: null,
      name: "H",
    });
    assert.deepEqual([bare.has_token, bare.name, bare.url], [false, "H", "ws://127.0.0.1:1"]);
    await refused(owner.call("gateway.create", { name: "G", kind: "smoke" }), "invalid_params", /kind/);
    await refused(owner.call("gateway.create", { name: "G", url: "file:///etc" }), "invalid_params", /url/);
  });

  await t.test("P11 a local gateway's folder stays inside the server's own", async () => {
    const root = join(server.dataDir, "workspaces");
    const create = (workspace_root: string) =>
      owner.call("gateway.create", { name: "Local", kind: "local", workspace_root });
    const { gateway: one } = await create("team-one");
    assert.equal(one.workspace_root, join(root, one.id, "team-one"));
    for (const outside of ["../x", "/etc", "..", ".", "a/../..", "a/b", `${root}-evil`])
      await refused(create(outside), "unprocessable", /workspace_root/);
    const { gateway: made } = await create("team-two");
    await refused(
      owner.call("gateway.update", { gateway_id: made.id, workspace_root: "../../etc" }),
      "unprocessable",
    );
  });

  await t.test("the log is listed newest first, by board, agent, type and time, in pages", async () => {
    const { agent } = await owner.call("agent.create", { name: "Logged", board_id: board.id });
    server.clock.advance(60_000);
    const since = new Date(server.clock.now()).toISOString();
    for (const name of ["Logged 1", "Logged 2", "Logged 3"])
      await owner.call("agent.update", { agent_id: agent.id, name });
    const list = (params: object) => owner.call("activity.list", params);
    const all = await list({ agent_id: agent.id });
    assert.deepEqual(
      all.items.map((item: Message) => item.message),
      [...["Logged 3 was updated.", "Logged 2 was updated.", "Logged 1 was updated."], "Logged was created."],
    );
    assert.equal((await list({ board_id: board.id, type: "agent.created" })).items.length, 1);
    assert.deepEqual((await list({ board_id: board.id, since })).items, all.items.slice(0, 3));
    const first = await list({ agent_id: agent.id, limit: 3 });
    await owner.call("agent.update", { agent_id: agent.id, name: "Logged 4" });
    const rest = await list({ agent_id: agent.id, limit: 3, cursor: first.next_cursor });
    assert.deepEqual(rest.items, all.items.slice(3));
    assert.equal(rest.next_cursor, null);
    await refused(list({ cursor: "x" }), "invalid_params", /cursor/);
    await refused(list({ since: "yesterday" }), "invalid_params", /since/);
  });
});
