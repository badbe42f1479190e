import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import type { Place } from "./support/actor-stand.ts";
import { until } from "./support/await.ts";
import { beat, flip, Watcher, WatchStand } from "./support/watch-stand.ts";
import type { Message } from "./support/wire.ts";

/** Moves the agent to another place, as an update does. */
function move(stand: WatchStand, id: string, to: Place) {
  return stand.actors.send(
    id,
    { type: "update", force: false, at: stand.actors.clock.now() },
    { fields: { board_id: to.boardId, gateway_id: to.gatewayId } },
  );
}

const offsetsOf = (changes: Message[]) => changes.map(({ offset }) => offset);
const countedFrom = (first: number, length: number) => Array.from({ length }, (_, at) => first + at);

test("B11 offsets rise by one, and changes of one agent within a tick are one, the last", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const id = await stand.actors.agent(place);
  stand.tell();
  const { watcher, result } = await stand.watch(place.organizationId, "agents");
  assert.deepEqual(
    result.items.map((item: Message) => item.id),
    [id],
  );
  let reads = 0;
  stand.beforeQuery = () => {
    reads += 1;
  };
  for (let round = 0; round < 5; round++) {
    // From a beat to a beat, so that the last of a tick can be told.
    await flip(stand, id, 7);
    const version = stand.actors.registry.columns.version[stand.actors.indexOf(id)];
    await watcher.next(`version ${version}`, (m) => m.params.upserts?.[0]?.version === version);
    await flip(stand, id, 2);
  }
  const last = stand.actors.registry.columns.version[stand.actors.indexOf(id)];
  await watcher.next("the last version", (m) => m.params.upserts?.[0]?.version === last);
  const changes = watcher.told("change");
  assert.deepEqual(offsetsOf(changes), countedFrom(result.offset + 1, changes.length));
  for (const { upserts, removes } of changes) assert.deepEqual([upserts.length, removes.length], [1, 0]);
  const versions = changes.map(({ upserts }) => upserts[0].version);
  // What is read may be newer already than what the tick was to tell: it is told once more with the next one.
  assert.deepEqual(
    versions,
    [...versions].sort((a, b) => a - b),
  );
  assert.ok(changes.length <= reads, `${changes.length} changes in ${reads} ticks`);
});

test("B11 who resumes gets what it missed, and goes on without a gap", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const id = await stand.actors.agent(place);
  const first = await stand.watch(place.organizationId, "agents");
  const { epoch, offset } = first.result;
  stand.hub.unsubscribe(first.watcher, place.organizationId, "agents");
  const other = await stand.watch(place.organizationId, "agents");
  for (let round = 1; round <= 3; round++) {
    await flip(stand, id, 1);
    await until(() => other.watcher.told("change").length >= round, { what: `change ${round}` });
    await flip(stand, id, 1);
    await until(() => other.watcher.told("change").length >= round + 1, { what: "a change" });
  }
  const missed = other.watcher.told("change");
  const again = await stand.watch(place.organizationId, "agents", {
    watcher: first.watcher,
    since: { epoch, offset },
  });
  assert.equal(again.result.recovered, true);
  assert.deepEqual(
    again.result.changes.map(({ offset: at, upserts }: Message) => [at, upserts[0].version]),
    missed.map(({ offset: at, upserts }) => [at, upserts[0].version]),
  );
  await flip(stand, id, 1);
  const next = await again.watcher.next("the next change", (m) => m.method === "change");
  assert.equal(next.params.offset, again.result.offset + 1);
  assert.deepEqual(first.watcher.told("change").length, 1, "nothing while it did not watch");
});

test("B11 a position of another epoch, or of before the history, is answered with a snapshot", async (t) => {
  const stand = await WatchStand.open(t, { changes: 2, bytes: 1_000_000 });
  const place = await stand.actors.place(false);
  const id = await stand.actors.agent(place);
  const { watcher, result } = await stand.watch(place.organizationId, "agents");
  for (let round = 1; round <= 3; round++) {
    await flip(stand, id, 1);
    await until(() => watcher.told("change").length === round, { what: `change ${round}` });
    stand.actors.clock.advance(700_000);
    await stand.actors.send(id, { type: "silence", at: stand.actors.clock.now() });
  }
  for (const since of [
    { epoch: result.epoch, offset: result.offset },
    { epoch: randomUUID(), offset: result.offset + 2 },
    { epoch: result.epoch, offset: result.offset + 100 },
  ]) {
    const again = await stand.watch(place.organizationId, "agents", { since });
    assert.equal(again.result.recovered, false);
    assert.equal(again.result.items.length, 1);
    assert.equal(again.result.offset, result.offset + 3);
  }
});

test("B11 last-seen times are told once a second, the last of each agent", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const ids = [await stand.actors.agent(place), await stand.actors.agent(place)];
  const indexes = ids.map((id) => stand.actors.indexOf(id));
  await Promise.all(ids.map((id) => beat(stand, id)));
  const { watcher } = await stand.watch(place.organizationId, "agents");
  const board = await stand.watch(place.organizationId, `agents:board:${randomUUID()}`);
  for (let ms = 0; ms < 9; ms++) {
    stand.actors.clock.advance(100);
    for (const id of ids) stand.actors.beat(id);
    await stand.actors.flushed();
    stand.hub.seen(indexes);
  }
  assert.deepEqual(watcher.told("seen"), []);
  stand.actors.clock.advance(100);
  const [seen, ...more] = watcher.told("seen");
  assert.deepEqual(more, []);
  assert.deepEqual(Object.fromEntries(seen.agents), Object.fromEntries(ids.map((id) => [id, 100])));
  assert.equal(seen.at, new Date(stand.actors.clock.now()).toISOString());
  stand.actors.clock.advance(5_000);
  assert.equal(watcher.told("seen").length, 1);
  assert.deepEqual(board.watcher.told("seen"), [], "nobody of another board");
});

test("P24 a last-seen time is never told to another organization, nor of an agent that was not seen", async (t) => {
  const stand = await WatchStand.open(t);
  const [one, other] = [await stand.actors.place(false), await stand.actors.place(false)];
  const gone = await stand.actors.agent(one);
  const index = stand.actors.indexOf(gone);
  await beat(stand, gone);
  const watchers = [
    await stand.watch(one.organizationId, "agents"),
    await stand.watch(other.organizationId, "agents"),
  ];
  stand.hub.seen([index]);
  await stand.actors.send(gone, { type: "delete", force: false, at: stand.actors.clock.now() });
  const next = await stand.actors.agent(other);
  assert.equal(stand.actors.indexOf(next), index);
  stand.actors.clock.advance(1_000);
  for (const { watcher } of watchers) assert.deepEqual(watcher.told("seen"), []);
});

test("P15 an agent that moves leaves its old board and gateway and comes to the new ones", async (t) => {
  const stand = await WatchStand.open(t);
  const from = await stand.actors.place(false);
  const to = await stand.actors.place(false, from.organizationId);
  const id = await stand.actors.agent(from);
  stand.tell();
  const topics = [
    "agents",
    `agents:agent:${id}`,
    `agents:board:${from.boardId}`,
    `agents:gateway:${from.gatewayId}`,
    `agents:board:${to.boardId}`,
    `agents:gateway:${to.gatewayId}`,
  ];
  const watching = new Map<string, Watcher>();
  for (const topic of topics) watching.set(topic, (await stand.watch(from.organizationId, topic)).watcher);
  await until(() => stand.actors.committals.length > 0, { what: "the create" });
  await move(stand, id, to);
  stand.tell();
  for (const [topic, watcher] of watching) {
    const left = topic.includes(from.boardId) || topic.includes(from.gatewayId);
    const change = await watcher.next(topic, (m) =>
      left
        ? m.params.removes?.length
        : m.params.upserts?.some((item: Message) => item.board_id === to.boardId),
    );
    assert.deepEqual(change.params.removes, left ? [id] : [], topic);
    if (left) assert.deepEqual(change.params.upserts, [], topic);
  }
  // There and back within a tick: it has never been away.
  const seen = new Map([...watching].map(([topic, watcher]) => [topic, watcher.received.length]));
  await move(stand, id, from);
  await move(stand, id, to);
  stand.tell();
  const all = watching.get("agents");
  await all?.next("the way back", (m) => m.params.upserts?.[0]?.version === 4);
  for (const topic of topics.slice(4)) {
    const news = watching.get(topic)?.received.slice(seen.get(topic)) ?? [];
    assert.deepEqual(
      news.flatMap(({ params }) => params.removes),
      [],
      topic,
    );
  }
});

test("B11 an agent that goes while its change is read is told of as gone, and only so", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const id = await stand.actors.agent(place);
  const { watcher } = await stand.watch(place.organizationId, "agents");
  const own = await stand.watch(place.organizationId, `agents:agent:${id}`);
  const shown = stand.actors.registry.belongingOf(stand.actors.indexOf(id));
  await beat(stand, id);
  // The query is under way, and finds the agent, when word comes that it is gone.
  stand.beforeQuery = () => {
    stand.beforeQuery = () => {};
    setImmediate(() => stand.hub.gone(id, shown));
  };
  stand.hub.touched(id, shown);
  const change = await watcher.next("the removal", (m) => m.params.removes?.includes(id));
  assert.deepEqual(change.params.upserts, []);
  const end = await own.watcher.next("the end", (m) => m.method === "end");
  assert.equal(end.params.reason, "deleted");
  assert.deepEqual(own.watcher.over, [`agents:agent:${id}`]);
});

test("B11 a subscription that is begun twice at once goes live once", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const id = await stand.actors.agent(place);
  const watcher = new Watcher();
  await Promise.all([1, 2, 3].map(() => stand.watch(place.organizationId, "agents", { watcher })));
  await flip(stand, id, 1);
  await watcher.next("the change", (m) => m.method === "change");
  await flip(stand, id, 2);
  await until(() => watcher.told("change").length >= 2, { what: "the second change" });
  assert.deepEqual(offsetsOf(watcher.told("change")), [1, 2]);
});

test("B11 snapshots begun while agents change leave every watcher with what Postgres has", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const ids = await Promise.all(Array.from({ length: 30 }, () => stand.actors.agent(place)));
  stand.tell();
  const views: { view: Map<string, Message>; watcher: Watcher; offset: number }[] = [];
  for (let round = 0; round < 8; round++) {
    const changes = ids.map((id, position) =>
      position % 7 === round % 7
        ? stand.actors.send(id, { type: "signoff", at: stand.actors.clock.now() }).catch(() => {})
        : beat(stand, id).catch(() => {}),
    );
    const watching = stand.watch(place.organizationId, "agents");
    const [leaver] = ids.splice(0, 1);
    if (leaver) changes.push(stand.actors.send(leaver, { type: "delete", force: true, at: 1 }));
    await Promise.all(changes);
    stand.tell();
    const { watcher, result } = await watching;
    views.push({
      watcher,
      offset: result.offset,
      view: new Map(result.items.map((item: Message) => [item.id, item])),
    });
  }
  const versionsOf = (agents: Iterable<Message>) =>
    Object.fromEntries([...agents].map(({ id, version }) => [id, version]));
  const rows = versionsOf(
    await stand.actors
      .database`select id, version from agents where organization_id = ${place.organizationId}`,
  );
  for (const { watcher, view, offset } of views) {
    await until(
      () => {
        const current = new Map(view);
        let expected = offset;
        for (const change of watcher.told("change")) {
          expected += 1;
          assert.equal(change.offset, expected);
          for (const item of change.upserts) current.set(item.id, item);
          for (const id of change.removes) current.delete(id);
        }
        const versions = versionsOf(current.values());
        return (
          Object.keys(versions).length === Object.keys(rows).length &&
          Object.entries(rows).every(([id, version]) => versions[id] === version)
        );
      },
      { what: "the view to be what Postgres has" },
    );
  }
});
