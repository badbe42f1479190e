import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { Fleet, insertAgents } from "./support/fleet.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import { View } from "./support/view.ts";
import { Watcher, WatchStand } from "./support/watch-stand.ts";

async function scene(server: TestServer, count: number) {
  const owner = await server.wire();
  const { board, gateway } = await server.board(owner);
  await server.stop();
  const place = { organizationId: server.organization.id, boardId: board.id, gatewayId: gateway.id };
  const { tokens } = await insertAgents(server.database, place, count);
  await server.start();
  return Fleet.attach(await server.wire({ token: null, codec: "msgpack" }), tokens);
}

/** So many connections, every second one of each codec. */
async function connections(server: TestServer, count: number) {
  const wires = [];
  for (let start = 0; start < count; start += 50)
    wires.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(50, count - start) }, (_, at) =>
          server.wire({ codec: at % 2 === 0 ? "json" : "msgpack" }),
        ),
      )),
    );
  return wires;
}

async function committed(server: TestServer): Promise<Map<string, number>> {
  const rows = await server.database<{ id: string; version: number }[]>`select id, version from agents`;
  return new Map(rows.map(({ id, version }) => [id, version]));
}

const sorted = (versions: Map<string, number>) => [...versions].sort(([a], [b]) => (a < b ? -1 : 1));

test("B11 two hundred subscribers of both codecs get every change, in order, and end with what Postgres has", async (t) => {
  const server = await startTestServer(t);
  const fleet = await scene(server, 40);
  const wires = await connections(server, 200);
  const views = await Promise.all(wires.map((wire) => View.open(wire)));
  const witness = views[0];
  for (let round = 0; round < 25; round++) {
    fleet.toggleAll();
    await fleet.acknowledged();
    // Read on the way: the next round begins when one has seen this one, whether the others have or not.
    const versions = sorted(await committed(server));
    await until(
      () => JSON.stringify(sorted(witness?.catchUp().versions() ?? new Map())) === JSON.stringify(versions),
      { what: `round ${round}` },
    );
  }
  const last = witness?.offset;
  await until(() => views.every((view) => view.catchUp().offset === last), { what: "everyone to be there" });
  const versions = sorted(await committed(server));
  for (const view of views) {
    assert.deepEqual(sorted(view.versions()), versions);
    assert.equal(view.resets, 0);
    assert.ok(view.changes >= 25);
  }
});

test("B11 subscribers who lose their sockets all at once come back all at once, and have missed nothing", async (t) => {
  const server = await startTestServer(t);
  const fleet = await scene(server, 40);
  const first = await connections(server, 150);
  const before = await Promise.all(first.map((wire) => View.open(wire)));
  fleet.toggleAll();
  await until(() => before.every((view) => view.catchUp().changes > 0), { what: "the first changes" });
  for (const wire of first) wire.end();
  fleet.toggleAll();
  await fleet.acknowledged();
  const second = await connections(server, 150);
  // Every third one has no position, and gets a snapshot.
  const coming = second.map((wire, at) => {
    const { epoch, offset } = before[at] ?? { epoch: "", offset: 0 };
    return at % 3 === 0 ? View.open(wire) : View.open(wire, "agents", { epoch, offset });
  });
  fleet.toggleAll();
  const views = await Promise.all(coming);
  fleet.toggleAll();
  await fleet.acknowledged();
  const versions = sorted(await committed(server));
  for (const [at, view] of views.entries()) {
    if (at % 3 !== 0)
      for (const [id, item] of before[at]?.things ?? []) if (!view.things.has(id)) view.things.set(id, item);
    await until(() => JSON.stringify(sorted(view.catchUp().versions())) === JSON.stringify(versions), {
      what: "what Postgres has",
    });
    assert.equal(view.resets, 0);
  }
});

test("B11 three thousand who come at once share their reads, and keep the loop for nobody else waiting", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const { organizationId, boardId, gatewayId } = place;
  await insertAgents(stand.actors.database, { organizationId, boardId, gatewayId }, 1_700);
  let queryParts = 0;
  let served = 0;
  let mostInATurn = 0;
  stand.beforeQuery = () => {
    queryParts += 1;
  };
  const watchers = Array.from({ length: 3_000 }, () => new Watcher());
  let before = 0;
  const count = () => {
    mostInATurn = Math.max(mostInATurn, served - before);
    before = served;
    if (served < watchers.length) setImmediate(count);
  };
  setImmediate(count);
  await Promise.all(
    watchers.map(async (watcher) => {
      const { result, after } = await stand.hub.subscribe(watcher, organizationId, "agents", undefined);
      served += 1;
      assert.equal("more" in result && result.more, true);
      await after();
      const told = watcher.told("snapshot");
      const items = told.reduce((sum, page) => sum + page.items.length, 0);
      assert.ok(items >= 1_200, `${items}`);
      assert.equal(told.at(-1).more, false);
    }),
  );
  t.diagnostic(`${queryParts} parts of queries, at most ${mostInATurn} served in one turn`);
  assert.ok(mostInATurn <= 8, `${mostInATurn} were served in one turn of the loop`);
  // A page is read by a query of some nine parts; apart, these would be more than eighty thousand.
  assert.ok(queryParts <= 1_000, `${queryParts} parts of queries`);
});
