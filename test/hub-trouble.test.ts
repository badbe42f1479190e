import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { flip, Watcher, WatchStand } from "./support/watch-stand.ts";

const LAG_BYTES = 1_048_576;

test("B11 who does not read leaves the stream, and starts again from a snapshot once it has read", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const id = await stand.actors.agent(place);
  const slow = await stand.watch(place.organizationId, "agents");
  const quick = await stand.watch(place.organizationId, "agents");
  slow.watcher.bufferedBytes = LAG_BYTES + 1;
  for (let round = 1; round <= 3; round++) {
    await flip(stand, id, 1);
    await until(() => quick.watcher.told("change").length === round, { what: `change ${round}` });
    await stand.actors.send(id, { type: "signoff", at: stand.actors.clock.now() });
  }
  assert.deepEqual(slow.watcher.received, []);
  stand.hub.drained(slow.watcher);
  slow.watcher.bufferedBytes = 0;
  stand.hub.drained(slow.watcher);
  const reset = await slow.watcher.next("the reset", (m) => m.method === "reset");
  assert.equal(reset.params.offset, slow.result.offset + 3);
  assert.equal(reset.params.items[0].status, "offline");
  await flip(stand, id, 1);
  const change = await slow.watcher.next("the next change", (m) => m.method === "change");
  assert.equal(change.params.offset, reset.params.offset + 1);
  assert.deepEqual(
    slow.watcher.received.map(({ method }) => method),
    ["reset", "change"],
  );
});

test("B11 who does not read for too long is sent away", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const id = await stand.actors.agent(place);
  const { watcher } = await stand.watch(place.organizationId, "agents");
  const quick = await stand.watch(place.organizationId, "agents");
  watcher.bufferedBytes = LAG_BYTES + 1;
  await flip(stand, id, 1);
  await quick.watcher.next("the change", (m) => m.method === "change");
  stand.actors.clock.advance(29_999);
  assert.equal(watcher.dismissed, false);
  stand.actors.clock.advance(1);
  assert.equal(watcher.dismissed, true);
});

test("B11 a snapshot that cannot be read is tried again, and its subscriber comes into the stream", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const id = await stand.actors.agent(place);
  const { watcher } = await stand.watch(place.organizationId, "agents");
  const quick = await stand.watch(place.organizationId, "agents");
  watcher.bufferedBytes = LAG_BYTES + 1;
  await flip(stand, id, 1);
  await quick.watcher.next("the change", (m) => m.method === "change");
  stand.broken = true;
  const timers = stand.actors.clock.timers;
  watcher.bufferedBytes = 0;
  stand.hub.drained(watcher);
  // The timer of the slow reader is gone, that of the next try is set.
  await until(() => stand.actors.clock.timers === timers, { what: "the next try to be set" });
  assert.deepEqual(watcher.received, []);
  stand.broken = false;
  stand.actors.clock.advance(1_000);
  await watcher.next("the reset", (m) => m.method === "reset");
});

test("B11 changes that cannot be read are told once they can be", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const id = await stand.actors.agent(place);
  const { watcher, result } = await stand.watch(place.organizationId, "agents");
  let tries = 0;
  stand.beforeQuery = () => {
    tries += 1;
    if (tries <= 2) throw new Error("the database does not answer");
  };
  await flip(stand, id, 1);
  const change = await watcher.next("the change", (m) => m.method === "change");
  assert.equal(change.params.offset, result.offset + 1);
  assert.equal(change.params.upserts[0].status, "online");
});

test("B11 after too many entries at once, no older position is good", async (t) => {
  const stand = await WatchStand.open(t);
  const place = await stand.actors.place(false);
  const { watcher, result } = await stand.watch(place.organizationId, "activity");
  const entry = () => ({
    id: randomUUID(),
    type: "test",
    message: "Something happened.",
    organization_id: place.organizationId,
    board_id: null,
    agent_id: null,
    task_id: null,
    created_at: new Date(stand.actors.clock.now()),
  });
  const reading = new Watcher();
  stand.watchers.push(reading);
  const late = await stand.hub.subscribe(reading, place.organizationId, "activity", undefined);
  stand.hub.recorded(Array.from({ length: 5_001 }, entry));
  await watcher.next("the reset", (m) => m.method === "reset");
  await late.after();
  await reading.next("a reset for who was still reading", (m) => m.method === "reset");
  const { epoch, offset } = result;
  const again = await stand.watch(place.organizationId, "activity", { since: { epoch, offset } });
  assert.equal(again.result.recovered, false);
});
