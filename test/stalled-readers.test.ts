import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { Fleet, insertAgents } from "./support/fleet.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import { View } from "./support/view.ts";

const STALLED = 200;
/** Of those: how many read again in time. */
const RESUMING = 20;
const HEALTHY = 4;
/** Heavy agents, so that few rounds fill what the kernel keeps for a socket. */
const AGENTS = 8;
const TEMPLATE = "s".repeat(60_000);
const ROUNDS = 45;
/** What may wait for one reader, in bytes. */
const MOST_FOR_ONE = 1_048_576;
/** What the clients and the work itself may take, which are in the same process. */
const SLACK = 200_000_000;

async function sessionsOf(server: TestServer): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(/^muster_sessions (\d+)/m.exec(text)?.[1]);
}

async function versionsIn(server: TestServer): Promise<string> {
  const rows = await server.database<{ id: string; version: number }[]>`
    select id, version from agents order by id`;
  return JSON.stringify(rows.map(({ id, version }) => [id, version]));
}

const shown = (view: View) =>
  JSON.stringify([...view.catchUp().versions()].sort(([a], [b]) => (a < b ? -1 : 1)));

test("B11 two hundred stalled readers cost no more than the limit each, healthy ones miss nothing; who reads again starts anew without a gap, who does not is closed with 4013", async (t) => {
  const server = await startTestServer(t);
  const { board, gateway } = await server.board(await server.wire());
  await server.stop();
  const place = { organizationId: server.organization.id, boardId: board.id, gatewayId: gateway.id };
  const { tokens } = await insertAgents(server.database, place, AGENTS, { template: TEMPLATE });
  await server.start();
  const fleet = await Fleet.attach(await server.wire({ token: null }), tokens);
  const open = (count: number) =>
    Promise.all(
      Array.from({ length: count }, async (_, at) =>
        View.open(await server.wire({ codec: at % 2 === 0 ? "json" : "msgpack" })),
      ),
    );
  const healthy = await open(HEALTHY);
  const stalled = await open(STALLED);
  for (const { wire } of stalled) wire.socket.pause();
  const round = async () => {
    fleet.toggleAll();
    await fleet.acknowledged();
    const versions = await versionsIn(server);
    await until(() => healthy.every((view) => shown(view) === versions), { what: "the healthy to see it" });
    return versions;
  };

  const before = process.memoryUsage.rss();
  for (let count = 0; count < ROUNDS; count++) await round();
  const grown = process.memoryUsage.rss() - before;
  t.diagnostic(`${Math.round(grown / 1e6)} MB more with ${STALLED} stalled readers`);
  assert.ok(grown <= STALLED * MOST_FOR_ONE + SLACK, `${grown} bytes`);
  for (const view of healthy) assert.equal(view.resets, 0, "who reads is never left out");

  const resuming = stalled.slice(0, RESUMING);
  for (const { wire } of resuming) wire.socket.resume();
  await until(() => resuming.every((view) => view.catchUp().resets === 1 && view.whole), {
    what: "everyone who reads again to be reset",
  });
  for (const view of resuming) assert.ok(view.changes < ROUNDS - 1, "not all of it was kept for them");
  const told = resuming.map(({ changes }) => changes);
  let versions = "";
  for (let count = 0; count < 3; count++) {
    versions = await round();
    await until(() => resuming.every((view) => shown(view) === versions), { what: "all that is new" });
  }
  for (const [at, view] of resuming.entries()) {
    assert.equal(view.resets, 1);
    assert.ok(view.changes >= (told[at] ?? 0) + 3, "changes, one after the other");
  }

  const open4013 = await sessionsOf(server);
  server.clock.advance(30_000);
  await until(async () => (await sessionsOf(server)) === open4013 - (STALLED - RESUMING), {
    what: "the others to be closed",
  });
  const [late, later] = stalled.slice(RESUMING);
  for (const view of [late, later]) {
    view?.wire.socket.resume();
    assert.equal((await view?.wire.closing())?.code, 4013);
    view?.catchUp();
    assert.equal(view?.resets, 0);
  }
  await round();
  for (const view of [...healthy, ...resuming]) assert.equal(view.wire.closed, undefined);
});
