import assert from "node:assert/strict";
import { test } from "node:test";
import { refused } from "../support/refused.ts";
import { startTestServer } from "../support/server.ts";

const FORBIDDEN_ELSEWHERE = "Board leads can only create agents in their own board";

test("P9 whoever repeats a request by its idempotency key must still have the right to make it", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { board: elsewhere } = await server.board(owner);
  const make = (name: string, is_board_lead: boolean) =>
    owner.call("agent.create", { name, board_id: board.id, is_board_lead });
  const { agent: lead, token } = await make("Lead", true);
  const { agent: worker } = await make("Worker", false);
  const leads = await server.wire({ token });
  const hire = (fields: object = { board_id: board.id }) =>
    leads.call("agent.create", { name: "Hired", idempotency_key: "hire", ...fields });
  const rename = () =>
    leads.call("agent.update", { agent_id: worker.id, name: "Renamed", idempotency_key: "rename" });
  const move = (agent_id: string, board_id: string, is_board_lead: boolean) =>
    owner.call("agent.update", { agent_id, board_id, is_board_lead });

  const hired = await hire();
  assert.match(hired.token, /^mst_agent_/);
  const renamed = await rename();

  await t.test("a lead that still is one gets the first answer", async () => {
    assert.deepEqual(await hire(), hired);
    assert.equal((await rename()).agent.id, renamed.agent.id);
  });

  await t.test("a lead that was moved to another board does not", async () => {
    await move(lead.id, elsewhere.id, true);
    await refused(hire(), "forbidden", FORBIDDEN_ELSEWHERE);
    await refused(rename(), "forbidden", FORBIDDEN_ELSEWHERE);
    await move(lead.id, board.id, true);
    assert.deepEqual(await hire(), hired);
  });

  await t.test("nor where its worker was moved to another board", async () => {
    await move(worker.id, elsewhere.id, false);
    await refused(rename(), "forbidden", FORBIDDEN_ELSEWHERE);
    assert.deepEqual(await hire(), hired);
  });

  await t.test("nor one that is no lead any more", async () => {
    await move(lead.id, board.id, false);
    await refused(hire(), "forbidden", "Only board leads can create agents");
    await refused(rename(), "forbidden", "Only board leads can create agents");
  });

  await t.test("nor an admin who was made a member", async () => {
    const other = await server.addOrganization("Others");
    const wire = await server.wire({ token: other.token });
    const { board: theirs } = await server.board(wire);
    const params = { name: "Kept", board_id: theirs.id, idempotency_key: "kept" };
    const kept = await wire.call("agent.create", params);
    assert.deepEqual(await wire.call("agent.create", params), kept);
    await server.database`update members set role = 'member' where organization_id = ${other.id}`;
    await refused((await server.wire({ token: other.token })).call("agent.create", params), "forbidden");
  });
});
