import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { portionsOf } from "../src/live/portions.ts";
import { Readers } from "../src/live/readers.ts";
import type { SnapshotPage } from "../src/live/snapshots.ts";
import { Topic } from "../src/live/topic.ts";
import { Turns } from "../src/live/turns.ts";
import { createLog } from "../src/log.ts";
import { TurnedClock } from "./support/turned-clock.ts";
import { Watcher, WatchStand } from "./support/watch-stand.ts";

/** Readers of one topic whose pages are handed to them by the test. */
function stand() {
  const asked: { cursor: string | null; answer(page: SnapshotPage): void }[] = [];
  const readers = new Readers({
    readPage: (_, cursor) => new Promise((answer) => asked.push({ cursor, answer })),
    clock: new TurnedClock(),
    log: createLog("silent"),
  });
  const name = { kind: "agents", scope: "organization", id: "" } as const;
  const topic = new Topic(randomUUID(), "agents", name, { changes: 100, bytes: 1_000_000 }, () => {});
  const begin = (watcher: Watcher) => readers.begin(topic, watcher, undefined);
  return { asked, topic, begin };
}

const turns = async (count: number) => {
  for (let at = 0; at < count; at++) await new Promise((resolve) => setImmediate(resolve));
};
const idsIn = (messages: { items?: { id: string }[]; upserts?: { id: string }[] }[]) =>
  messages.flatMap(({ items = [], upserts = [] }) => [...items, ...upserts].map(({ id }) => id));

test("B11 who comes while a page is read shares it, and is told what has changed since", async () => {
  const { asked, topic, begin } = stand();
  const [one, other] = [new Watcher(), new Watcher()];
  const first = begin(one);
  topic.change([{ id: "changed" }], []);
  const second = begin(other);
  assert.equal(asked.length, 1);
  asked[0]?.answer({ items: [{ id: "there" }], next: null });
  for (const [watcher, subscription] of [
    [one, await first],
    [other, await second],
  ] as const) {
    assert.deepEqual(subscription.result, {
      topic: "agents",
      epoch: topic.epoch,
      offset: 0,
      items: [{ id: "there" }],
      more: false,
    });
    await subscription.after();
    assert.deepEqual(idsIn(watcher.told("change")), ["changed"]);
  }
});

test("B11 a further page whose reading began before a subscriber's position is not shared with it", async () => {
  const { asked, topic, begin } = stand();
  const [one, other] = [new Watcher(), new Watcher()];
  const first = begin(one);
  asked[0]?.answer({ items: [{ id: "a" }], next: "behind a" });
  void (await first).after();
  await turns(3);
  assert.deepEqual(
    asked.map(({ cursor }) => cursor),
    [null, "behind a"],
  );
  // What the page that is being read may not show: who comes now has its position behind it.
  topic.change([{ id: "b", version: 2 }], []);
  const second = begin(other);
  asked[2]?.answer({ items: [{ id: "a" }], next: "behind a" });
  const { after } = await second;
  const done = after();
  await turns(3);
  assert.equal(asked.length, 4, "it is read anew");
  asked[1]?.answer({ items: [{ id: "b", version: 1 }] as object[], next: null });
  asked[3]?.answer({ items: [{ id: "b", version: 2 }] as object[], next: null });
  await done;
  assert.deepEqual(other.told("snapshot")[0].items, [{ id: "b", version: 2 }]);
});

test("one is let through in each turn of the loop, in order", async () => {
  const gate = new Turns();
  const through: number[] = [];
  for (let at = 0; at < 5; at++) void gate.next().then(() => through.push(at));
  for (let at = 1; at <= 5; at++) {
    await turns(1);
    assert.ok(through.length <= at, `${through.length} in turn ${at}`);
  }
  await turns(2);
  assert.deepEqual(through, [0, 1, 2, 3, 4]);
});

test("things are sent in portions, none lost, a heavy one alone", () => {
  assert.deepEqual(portionsOf([]), [[]]);
  const light = Array.from({ length: 1_000 }, (_, id) => ({ id: String(id), text: "x".repeat(500) }));
  const heavy = { id: "heavy", profile: { role: "x".repeat(1_000_000) } };
  const portions = portionsOf([...light.slice(0, 600), heavy, ...light.slice(600)]);
  assert.deepEqual(
    portions.flat().map(({ id }: { id?: string }) => id),
    [...light.slice(0, 600), heavy, ...light.slice(600)].map(({ id }) => id),
  );
  for (const portion of portions)
    assert.ok(portion.includes(heavy) ? portion.length === 1 : JSON.stringify(portion).length < 300_000);
});

test("B11 who does not read is left out of the last-seen times too", async (t) => {
  const live = await WatchStand.open(t);
  const place = await live.actors.place(false);
  const id = await live.actors.agent(place);
  await live.actors.send(id, { type: "beat", quiet: false, at: live.actors.clock.now() });
  const { watcher } = await live.watch(place.organizationId, "agents");
  watcher.bufferedBytes = 2_000_000;
  live.hub.seen([live.actors.indexOf(id)]);
  live.actors.clock.advance(1_000);
  assert.deepEqual(watcher.told("seen"), []);
  watcher.bufferedBytes = 0;
  live.hub.drained(watcher);
  await watcher.next("a fresh snapshot", (m) => m.method === "reset");
});
