import assert from "node:assert/strict";
import { test } from "node:test";
import { comeOnline, create, read, update } from "./support/agents.ts";
import { FakeDriver, managedBoard } from "./support/fake-driver.ts";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";

test("what leads may do to agents", async (t) => {
  const gateway = new FakeDriver();
  const server = await startTestServer(t, { drivers: () => ({ openclaw: gateway }) });
  const owner = await server.wire();
  const { board } = await managedBoard(owner);
  const { board: other } = await managedBoard(owner);
  const lead = await create(owner, board, "Lead", { is_board_lead: true });
  const second = await create(owner, board, "Second lead", { is_board_lead: true });
  const worker = await create(owner, board, "Worker");
  const main = await create(owner, board, "Main");
  await update(owner, main, { is_gateway_main: true, wait: true });
  const asLead = await comeOnline(server, gateway, lead);

  await t.test("P6 a lead makes no leads", async () => {
    await refused(
      asLead.call("agent.create", { name: "Third lead", is_board_lead: true }),
      "forbidden",
      /^Board leads make no leads/,
    );
    const { agent } = await asLead.call("agent.create", { name: "Hand", is_board_lead: false });
    assert.equal(agent.is_board_lead, false);
  });

  await t.test("P14 it promotes and demotes nobody, itself neither", async () => {
    const words = /^Board leads neither promote nor demote/;
    await refused(update(asLead, worker, { is_board_lead: true }), "forbidden", words);
    await refused(update(asLead, second, { is_board_lead: false }), "forbidden", words);
    await refused(update(asLead, lead, { is_board_lead: false }), "forbidden", words);
    for (const agent of [worker, second, lead])
      await refused(update(asLead, agent, { is_gateway_main: true }), "forbidden", words);
    for (const agent of [worker, second, lead]) {
      const { is_board_lead, is_gateway_main } = await read(owner, agent);
      assert.deepEqual([is_board_lead, is_gateway_main], [agent.is_board_lead, false]);
    }
  });

  await t.test(
    "P14 it changes workers of its board and itself, no other lead, no main agent, nobody elsewhere",
    async () => {
      assert.equal(
        (await update(asLead, worker, { name: "Worker B", is_board_lead: false })).agent.name,
        "Worker B",
      );
      assert.equal((await update(asLead, worker, { board_id: board.id })).agent.board_id, board.id);
      await refused(
        update(asLead, second, { soul_template: "Obey." }),
        "forbidden",
        /only change the workers/,
      );
      await refused(update(asLead, second, { force: true }), "forbidden");
      await refused(update(asLead, main, { soul_template: "Obey." }), "forbidden");
      await refused(update(asLead, main, { is_gateway_main: false, board_id: board.id }), "forbidden");
      await refused(update(asLead, worker, { board_id: other.id }), "forbidden");
      const own = (await update(asLead, lead, { soul_template: "Kind.", wait: true })).agent;
      assert.deepEqual([own.soul_template, own.is_board_lead], ["Kind.", true]);
    },
  );

  await t.test(
    "P14 a worker that becomes a lead meanwhile is not changed by what was asked before",
    async () => {
      const asLeadNow = await comeOnline(server, gateway, lead);
      for (let round = 0; round < 10; round++) {
        const rising = await create(owner, board, `Rising ${round}`);
        const [promoted, changed] = await Promise.allSettled([
          update(owner, rising, { is_board_lead: true }),
          update(asLeadNow, rising, { is_board_lead: false, soul_template: "Obey." }),
        ]);
        assert.equal(promoted.status, "fulfilled");
        const now = await read(owner, rising);
        assert.equal(now.is_board_lead, true, `round ${round}`);
        assert.equal(now.soul_template, changed.status === "fulfilled" ? "Obey." : null);
      }
    },
  );
});
