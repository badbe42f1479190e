import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { until } from "./support/await.ts";
import { Fleet, insertAgents } from "./support/fleet.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import { View } from "./support/view.ts";
import type { Message } from "./support/wire.ts";

const AGENTS = 6_000;
const MOVING = 60;
/** Long texts, of which so many make more than a server leaves waiting for one socket. */
const TEMPLATE = "s".repeat(100_000);
const HEAVY = 120;

async function fleetOf(server: TestServer, count: number, moving: number, template: string | null = null) {
  const { board, gateway } = await server.board(await server.wire());
  await server.stop();
  const place = { organizationId: server.organization.id, boardId: board.id, gatewayId: gateway.id };
  const { ids, tokens } = await insertAgents(server.database, place, count, {
    tokens: moving,
    template,
    at: new Date(server.clock.now()),
  });
  await server.start();
  const fleet = await Fleet.attach(await server.wire({ token: null, codec: "msgpack" }), tokens);
  return { fleet, ids, board };
}

async function committed(server: TestServer): Promise<Map<string, number>> {
  const rows = await server.database<{ id: string; version: number }[]>`select id, version from agents`;
  return new Map(rows.map(({ id, version }) => [id, version]));
}

function isSame(one: Map<string, number>, other: Map<string, number>): boolean {
  return one.size === other.size && [...one].every(([id, version]) => other.get(id) === version);
}

test("B11 a snapshot of thousands, read while agents come, change and go, ends with what Postgres has", async (t) => {
  const server = await startTestServer(t);
  const { fleet, ids, board } = await fleetOf(server, AGENTS, MOVING);
  const owner = await server.wire();
  let stopped = false;
  let created = 0;
  const coming = async () => {
    for (; !stopped; created++) {
      await owner.call("agent.create", { name: `New ${created}`, board_id: board.id });
      await turn();
    }
  };
  // From the end of the list, the middle and the start: before and behind wherever the snapshot is.
  const leavers = [...ids.slice(MOVING, MOVING + 400), ...ids.slice(-400)];
  let gone = 0;
  const going = async () => {
    for (let id = leavers.pop(); id && !stopped; id = leavers.pop(), gone++) {
      await owner.call("agent.delete", { agent_id: id });
      await turn();
    }
  };
  const changing = async () => {
    while (!stopped) {
      fleet.toggleAll();
      await fleet.acknowledged();
    }
  };
  const work = Promise.all([coming(), going(), changing()]);
  const views: View[] = [];
  for (let at = 0; at < 6; at++) {
    const view = await View.open(await server.wire({ codec: at % 2 === 0 ? "json" : "msgpack" }));
    views.push(view);
    // One that stops reading amid its snapshot.
    if (at === 3) view.wire.socket.pause();
  }
  await until(() => views.every((view, at) => at === 3 || view.catchUp().whole), { what: "the snapshots" });
  views[3]?.wire.socket.resume();
  await until(() => views.every((view) => view.catchUp().whole && view.changes > 2), { what: "changes" });
  stopped = true;
  await work;
  const versions = await committed(server);
  assert.ok(created > 0 && gone > 0, `${created} came, ${gone} went`);
  assert.equal(versions.size, AGENTS + created - gone);
  for (const view of views) {
    assert.ok(view.pages > 10, `${view.pages} pages`);
    await until(() => isSame(view.catchUp().versions(), versions), { what: "what Postgres has" });
    assert.equal(view.resets, 0);
  }
});

for (const codec of ["json", "msgpack"] as const)
  test(`B11 agents with long texts come in notifications that a reader can take (${codec})`, async (t) => {
    const server = await startTestServer(t);
    const { fleet } = await fleetOf(server, HEAVY, HEAVY, TEMPLATE);
    const wire = await server.wire({ codec });
    const sizes: number[] = [];
    wire.socket.on("message", (data: Buffer) => sizes.push(data.length));
    const view = await View.open(wire);
    await until(() => view.catchUp().whole || wire.closed, { what: "the snapshot" });
    assert.equal(wire.closed, undefined);
    assert.equal(view.things.size, HEAVY);
    for (let round = 0; round < 3; round++) {
      // All in one tick: more than may wait for one socket.
      fleet.toggleAll();
      await fleet.acknowledged();
      const versions = await committed(server);
      await until(() => wire.closed || isSame(view.catchUp().versions(), versions), {
        what: "what Postgres has",
      });
      assert.equal(wire.closed, undefined);
    }
    assert.ok(Math.max(...sizes) < 1_048_576, `a frame of ${Math.max(...sizes)} bytes`);
    const list: Message = await wire.call("agent.list", { limit: 5 });
    assert.equal(list.items.length, 5);
  });
