import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeDriver, managedBoard } from "./support/fake-driver.ts";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

const DAY_MS = 24 * 60 * 60_000;

test("idempotency keys", async (t) => {
  const gateway = new FakeDriver();
  const server = await startTestServer(t, { drivers: (usual) => ({ ...usual, openclaw: gateway }) });
  let owner = await server.wire();
  const { board } = await server.board(owner);
  const managed = await managedBoard(owner);
  let keys = 0;
  const newKey = () => `key ${++keys}`;
  const create = (name: string, idempotency_key: string, fields: object = {}): Promise<Message> =>
    owner.call("agent.create", { name, board_id: board.id, idempotency_key, ...fields });
  const count = async (name: string) => (await owner.call("agent.list", { name })).total;

  await t.test(
    "P9 a create repeated with its key answers what the first one answered, token and all",
    async () => {
      const key = newKey();
      const first = await create("Repeated", key);
      assert.match(first.token, /^mst_agent_/);
      await owner.call("agent.update", { agent_id: first.agent.id, name: "Renamed since" });
      assert.deepEqual(await create("Repeated", key), first);
      const other = await server.wire({ codec: "msgpack" });
      const params = { idempotency_key: key, board_id: board.id, name: "Repeated" };
      assert.deepEqual(await other.call("agent.create", params), first);
      assert.equal(await count("Repeated"), 0);
    },
  );

  await t.test("P9 a key belongs to one request: another one with it is refused", async () => {
    const key = newKey();
    await create("Taken by one", key);
    await refused(create("Meant for another", key), "conflict", /another request/);
    assert.equal(await count("Meant for another"), 0);
    const { board: made } = await owner.call("board.create", { name: "Same key", idempotency_key: key });
    assert.equal(made.name, "Same key");
  });

  await t.test("P9 the same request many times at once is carried out once", async () => {
    const key = newKey();
    const answers = await Promise.all(Array.from({ length: 6 }, () => create("Impatient", key)));
    assert.deepEqual([...new Set(answers.map(({ agent }) => agent.id))].length, 1);
    assert.deepEqual([...new Set(answers.map(({ token }) => token))].length, 1);
    const boardKey = newKey();
    const params = { name: "Impatient board", slug: "impatient", idempotency_key: boardKey };
    const boards = await Promise.all(Array.from({ length: 6 }, () => owner.call("board.create", params)));
    assert.deepEqual([...new Set(boards.map((answer) => answer.board.id))].length, 1);
  });

  await t.test("P9 a refused request does not use up its key", async () => {
    const key = newKey();
    await create("Occupied", newKey());
    await refused(create("Occupied", key), "conflict", /already exists/);
    assert.equal((await create("Vacant", key)).agent.name, "Vacant");
  });

  await t.test("P9 a key is good for 24 hours", async () => {
    const key = newKey();
    const first = await create("Yesterday's", key);
    server.clock.advance(DAY_MS - 60_000);
    assert.equal((await create("Yesterday's", key)).agent.id, first.agent.id);
    server.clock.advance(2 * 60_000);
    await refused(create("Yesterday's", key), "conflict", /already exists/);
    assert.equal((await create("Today's", key)).agent.name, "Today's");
  });

  await t.test("P9 a key is one user's: another user's means another request", async () => {
    const key = newKey();
    const neighbours = await server.addOrganization("Neighbours");
    const they = await server.wire({ token: neighbours.token });
    const theirs = await server.board(they);
    const ours = await create("Namesake", key);
    const made = await they.call("agent.create", {
      name: "Namesake",
      board_id: theirs.board.id,
      idempotency_key: key,
    });
    assert.notEqual(made.agent.id, ours.agent.id);
    await refused(
      (await server.wire({ token: null })).call("board.create", { name: "X", idempotency_key: key }),
      "forbidden",
    );
  });

  await t.test("P17 an update and P22 a delete with a key happen once", async () => {
    const { agent } = await owner.call("agent.create", {
      name: "Once",
      board_id: managed.board.id,
      wait: true,
    });
    const key = newKey();
    const update = () =>
      owner.call("agent.update", {
        agent_id: agent.id,
        soul_template: "New.",
        wait: true,
        idempotency_key: key,
      });
    const first = await update();
    assert.deepEqual(await update(), first);
    assert.equal(gateway.stepsOf(agent.id).length, 8);
    const drop = () => owner.call("agent.delete", { agent_id: agent.id, wait: true, idempotency_key: key });
    assert.deepEqual(await drop(), { ok: true });
    assert.deepEqual(await drop(), { ok: true });
    await gateway.called("cleanUp", agent.id);
    assert.equal(gateway.stepsOf(agent.id).filter((step) => step === "unsession").length, 1);
  });

  await t.test("P22 things other than agents have keys too", async () => {
    const [gatewayKey, taskKey] = [newKey(), newKey()];
    const makeGateway = () =>
      owner.call("gateway.create", {
        name: "G",
        kind: "direct",
        token: "secret",
        idempotency_key: gatewayKey,
      });
    const makeTask = () =>
      owner.call("task.create", { board_id: board.id, title: "T", idempotency_key: taskKey });
    assert.deepEqual(await makeGateway(), await makeGateway());
    const { task } = await makeTask();
    assert.equal((await makeTask()).task.id, task.id);
    const { total } = await owner.call("task.list", { board_id: board.id });
    assert.equal(total, 1);
    const events = await owner.call("activity.list", { type: "task.created" });
    assert.equal(events.items.length, 1);
  });

  await t.test("P9 answers that are kept are unreadable at rest, and survive a restart", async () => {
    const key = newKey();
    const first = await create("Durable", key);
    const [row] = await server.database`select answer_sealed from idempotency where key = ${key}`;
    assert.ok(!row?.answer_sealed.toString("latin1").includes(first.token.slice(-43)));
    await server.restart();
    owner = await server.wire();
    assert.deepEqual(await create("Durable", key), first);
  });
});
