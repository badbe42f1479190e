import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import { comeOnline, create, read, update } from "./support/agents.ts";
import { FakeDriver, managedBoard } from "./support/fake-driver.ts";
import { refused } from "./support/refused.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Wire } from "./support/wire.ts";

async function whoAndWhat(t: TestContext, server: TestServer, owner: Wire, gateway: FakeDriver) {
  const { board } = await managedBoard(owner);

  await t.test("P4 a client cannot set the status", async () => {
    const agent = await create(owner, board, "Fixed");
    for (const status of ["online", "offline", "nonsense", null])
      await refused(update(owner, agent, { status }), "forbidden", "status is controlled by agent heartbeat");
    assert.deepEqual(await read(owner, agent), agent);
  });

  await t.test("P14 an empty update without force changes nothing and answers with the agent", async () => {
    const agent = await create(owner, board, "Same");
    const from = gateway.calls.length;
    assert.deepEqual((await update(owner, agent, {})).agent, agent);
    assert.deepEqual((await update(owner, agent, { wait: true })).agent, agent);
    assert.deepEqual(gateway.stepsOf(agent.id, from), []);
    await update(owner, agent, { force: true, wait: true });
    assert.deepEqual(gateway.stepsOf(agent.id, from), ["session", "roster", "files", "wake"]);
    assert.equal((await gateway.called("files", agent.id, 2)).force, true);
  });

  await t.test("P14 a lead updates agents of its own board only, an ordinary agent none", async () => {
    const { board: other } = await managedBoard(owner);
    const [lead, plain] = [
      await create(owner, board, "Lead", { is_board_lead: true }),
      await create(owner, board, "Plain"),
    ];
    const foreign = await create(owner, other, "Foreign");
    const asLead = await comeOnline(server, gateway, lead);
    const asPlain = await comeOnline(server, gateway, plain);
    assert.equal((await update(asLead, plain, { name: "Plainer" })).agent.name, "Plainer");
    await refused(update(asLead, foreign, { name: "X" }), "forbidden");
    await refused(update(asLead, plain, { board_id: other.id }), "forbidden");
    await refused(update(asLead, plain, { is_gateway_main: true }), "forbidden");
    await refused(update(asPlain, plain, { name: "X" }), "forbidden");
    await refused(update(asPlain, lead, { name: "X" }), "forbidden");
  });

  await t.test("P10 an update's values become what a create's become", async () => {
    const agent = await create(owner, board, "Shaped", { soul_template: "Kind." });
    const { agent: after } = await update(owner, agent, {
      name: "  Reshaped ",
      identity_profile: { tools: ["saw", ""] },
      soul_template: "  ",
      heartbeat_config: { every: "1m" },
    });
    assert.deepEqual(
      [after.name, after.identity_profile, after.soul_template, after.heartbeat_config],
      ["Reshaped", { tools: "saw" }, null, { every: "1m", target: "none" }],
    );
    assert.ok(after.version > agent.version);
  });

  await t.test("P9 a new name must be free too", async () => {
    const [one, other] = [await create(owner, board, "Free"), await create(owner, board, "Taken")];
    await refused(update(owner, one, { name: "tAKEN" }), "conflict", /already exists on this board/);
    assert.equal((await update(owner, other, { name: "TAKEN" })).agent.name, "TAKEN");
  });
}

async function moving(t: TestContext, _server: TestServer, owner: Wire, gateway: FakeDriver) {
  await t.test("P15 a move asks for the board, its gateway and a free name there", async () => {
    const here = await managedBoard(owner);
    const there = await managedBoard(owner);
    const unfit = await managedBoard(owner, { url: null });
    const agent = await create(owner, here.board, "Mover");
    await create(owner, there.board, "mover");
    await refused(update(owner, agent, { board_id: randomUUID() }), "not_found", "Board not found");
    await refused(
      update(owner, agent, { board_id: unfit.board.id }),
      "unprocessable",
      "Gateway url is required",
    );
    await refused(
      update(owner, agent, { board_id: there.board.id }),
      "conflict",
      "An agent with this name already exists on this board.",
    );
    const { board: beside } = await owner.call("board.create", {
      name: "Beside",
      gateway_id: there.gateway.id,
    });
    await refused(update(owner, agent, { board_id: beside.id }), "conflict", /in this gateway workspace/);
    assert.deepEqual(await read(owner, agent), agent);
  });

  await t.test("P15 a move must not land on the new gateway's main session key", async () => {
    const here = await managedBoard(owner);
    const there = await managedBoard(owner, { main_session_key: "agent:usurper:main" });
    const agent = await create(owner, here.board, "Usurper");
    await refused(update(owner, agent, { board_id: there.board.id }), "conflict", /session key/);
    assert.deepEqual(await read(owner, agent), agent);
  });

  await t.test("P15 a move to another gateway leaves the old one and is provisioned at the new", async () => {
    const here = await managedBoard(owner);
    const there = await managedBoard(owner);
    const agent = await create(owner, here.board, "Migrant");
    const from = gateway.calls.length;
    const { agent: moved } = await update(owner, agent, { board_id: there.board.id, wait: true });
    assert.deepEqual([moved.board_id, moved.gateway_id], [there.board.id, there.gateway.id]);
    await gateway.called("cleanUp", agent.id);
    const at = gateway.calls.slice(from).map(({ step, work }) => `${step} ${work.gateway.id}`);
    const old = ["unroster", "unsession", "cleanUp"].map((step) => `${step} ${here.gateway.id}`);
    const fresh = ["session", "roster", "files", "wake"].map((step) => `${step} ${there.gateway.id}`);
    assert.deepEqual(at, [...old, ...fresh]);
  });

  await t.test(
    "P16 is_gateway_main gives it the gateway's main session, and takes board and lead from it",
    async () => {
      const { board, gateway: record } = await managedBoard(owner);
      const agent = await create(owner, board, "Chief", { is_board_lead: true });
      const { agent: main } = await update(owner, agent, { is_gateway_main: true });
      assert.deepEqual(
        [main.board_id, main.is_board_lead, main.is_gateway_main, main.openclaw_session_id, main.gateway_id],
        [null, false, true, record.main_session_key, record.id],
      );
      const second = await create(owner, board, "Pretender");
      await refused(update(owner, second, { is_gateway_main: true }), "conflict", /session key/);
      await refused(
        update(owner, main, { is_gateway_main: false }),
        "unprocessable",
        "board_id is required for non-main agents",
      );
      const { agent: back } = await update(owner, main, { is_gateway_main: false, board_id: board.id });
      assert.deepEqual(
        [back.board_id, back.is_gateway_main, back.openclaw_session_id],
        [board.id, false, "agent:chief:main"],
      );
    },
  );

  await t.test("P16 the gateway of the new board is the one that counts", async () => {
    const here = await managedBoard(owner);
    const there = await managedBoard(owner);
    const agent = await create(owner, here.board, "Promoted");
    const { agent: main } = await update(owner, agent, { is_gateway_main: true, board_id: there.board.id });
    assert.deepEqual(
      [main.gateway_id, main.openclaw_session_id],
      [there.gateway.id, there.gateway.main_session_key],
    );
  });
}

test("updating agents", async (t) => {
  const gateway = new FakeDriver();
  const server = await startTestServer(t, { drivers: (usual) => ({ ...usual, openclaw: gateway }) });
  const owner = await server.wire();
  await whoAndWhat(t, server, owner, gateway);
  await moving(t, server, owner, gateway);
});
