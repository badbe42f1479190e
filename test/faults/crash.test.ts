import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../support/await.ts";
import { assertWhole, during, localBoard, moments, PATIENCE, settled } from "../support/crash-checks.ts";
import { crashing } from "../support/crash-fixture.ts";

test("B4 kill -9 around each step of provisioning: after a restart the agent is provisioned, each step told once", async (t) => {
  const server = await crashing(t);
  await server.start();
  const board = await localBoard(await server.wire());
  let last: { id: string; name: string; slug: string } | undefined;
  for (const [position, moment] of [...moments("provision"), undefined].entries()) {
    await during(moment, async () => {
      const owner = await server.wire();
      if (last) {
        await settled(server, last.id);
        await assertWhole(server, last.id, last.slug);
        const events = await server.events(last.name);
        assert.deepEqual(events, {
          "agent.created": 1,
          "agent.session.created": 1,
          "agent.provision": 1,
          "agent.wakeup.sent": 1,
          "agent.heartbeat": 1,
        });
        await owner.call("agent.delete", { agent_id: last.id, wait: true });
        assert.deepEqual(await server.runners(last.slug), []);
      }
      if (moment === undefined) return;
      await server.crashAt(moment);
      const name = `Ada ${position}`;
      const answer = await owner.ask({ method: "agent.create", params: { name, board_id: board.id } });
      await server.crashed();
      const row = await server.agentNamed(name);
      // The answer may have been cut off by the crash; the agent was committed before its first step.
      if (answer.result) assert.equal(answer.result.agent.id, row.id);
      assert.equal(row.status, "provisioning");
      assert.equal(row.provision_step, moment.split(":")[1]);
      last = { id: row.id, name, slug: row.slug };
      await server.start();
    });
  }
});

test("B4 kill -9 the moment a create is answered: nothing of it is missing", async (t) => {
  const server = await crashing(t);
  await server.start();
  const owner = await server.wire();
  const board = await localBoard(owner);
  const { agent } = await owner.call("agent.create", { name: "Ada", board_id: board.id });
  await server.kill();
  await server.start();
  await settled(server, agent.id);
  await assertWhole(server, agent.id, "ada");
  assert.equal((await server.events("Ada"))["agent.created"], 1);
});

test("B10 kill -9 around each step of a delete: after a restart row, workspace and process are gone, the task is free", async (t) => {
  const server = await crashing(t);
  await server.start();
  const board = await localBoard(await server.wire());
  let last: { id: string; name: string; taskId: string } | undefined;
  for (const [position, moment] of [...moments("delete"), "delete:cleanUp:before", undefined].entries())
    await during(moment, async () => {
      const owner = await server.wire();
      if (last) {
        const { id, name, taskId } = last;
        await until(async () => (await server.row(id)) === undefined, { what: "the row to go", ...PATIENCE });
        const slug = `ada-${position - 1}`;
        assert.deepEqual(await server.runners(slug), []);
        assert.equal(await server.workspace(slug), undefined);
        const { task } = await owner.call("task.get", { task_id: taskId });
        assert.equal(task.status, "inbox");
        assert.equal(task.assigned_agent_id, null);
        assert.equal(task.in_progress_at, null);
        const events = await server.events(name);
        assert.equal(events["agent.delete.direct"], 1);
        assert.equal(events["agent.delete.requested"], 1);
        assert.equal(events["agent.created"], 1, "the log is kept");
      }
      if (moment === undefined) return;
      await server.crashAt(moment);
      const name = `Ada ${position}`;
      const { agent } = await owner.call("agent.create", { name, board_id: board.id, wait: true });
      await settled(server, agent.id);
      const { task } = await owner.call("task.create", {
        board_id: board.id,
        title: "Paint",
        status: "in_progress",
        assigned_agent_id: agent.id,
      });
      await owner.ask({ method: "agent.delete", params: { agent_id: agent.id } });
      await server.crashed();
      const row = await server.row(agent.id);
      if (!moment.includes("cleanUp")) {
        assert.equal(row.status, "deleting");
        assert.equal(row.provision_step, moment.split(":")[1]);
      }
      last = { id: agent.id, name, taskId: task.id };
      await server.start();
    });
});
