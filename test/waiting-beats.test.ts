import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Fleet, insertAgents } from "./support/fleet.ts";
import { startTestServer } from "./support/server.ts";

/** More than are under way at a time: the heartbeats of some wait for their turn. */
const AGENTS = 1_500;

async function scene(t: TestContext) {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board, gateway } = await server.board(owner);
  await server.stop();
  const place = { organizationId: server.organization.id, boardId: board.id, gatewayId: gateway.id };
  const { ids, tokens } = await insertAgents(server.database, place, AGENTS, { status: "offline" });
  await server.start();
  const wire = await server.wire({ token: null, codec: "msgpack" });
  const fleet = await Fleet.attach(wire, tokens);
  const last = { id: ids.at(-1) ?? "", ch: fleet.channels.at(-1) ?? 0 };
  const statuses = async () => {
    const rows = await server.database<{ id: string; status: string }[]>`select id, status from agents`;
    return new Map(rows.map(({ id, status }) => [id, status]));
  };
  return { server, wire, fleet, last, statuses };
}

test("B1 an agent whose heartbeat waits behind many others, and who then signs off, is offline", async (t) => {
  const { wire, fleet, last, statuses } = await scene(t);
  fleet.beatAll();
  // Both are there before the first of the others is committed.
  await wire.call("agent.detach", { ch: last.ch, offline: true });
  await fleet.acknowledged();
  const after = await statuses();
  assert.equal(after.get(last.id), "offline");
  after.delete(last.id);
  assert.deepEqual(new Set(after.values()), new Set(["online"]));
});

test("B3 what is asked of an agent whose heartbeat waits behind many others comes after it, and does not wait", async (t) => {
  const { server, fleet, last } = await scene(t);
  const owner = await server.wire();
  fleet.beatAll();
  const { agent } = await owner.call("agent.update", { agent_id: last.id, name: "Renamed" });
  assert.equal(agent.status, "online");
  assert.equal(agent.name, "Renamed");
  await fleet.acknowledged();
});

test("B8 heartbeats that come while one waits for its turn are one with it, and all are acknowledged", async (t) => {
  const { fleet, statuses } = await scene(t);
  fleet.beatAll();
  fleet.beatAll();
  await fleet.acknowledged(fleet.beatAll());
  assert.deepEqual(new Set((await statuses()).values()), new Set(["online"]));
});
