import assert from "node:assert/strict";
import { test } from "node:test";
import { FLAG } from "../src/actors/columns.ts";
import { MusterError } from "../src/protocol/errors.ts";
import { ActorStand } from "./support/actor-stand.ts";
import { until } from "./support/await.ts";

const isNotFound = (error: unknown) => error instanceof MusterError && error.reason === "not_found";

test("an index that a deleted agent held goes to one other agent, however many events came for it afterwards", async (t) => {
  const stand = await ActorStand.open(t);
  const place = await stand.place(false);
  const id = await stand.agent(place);
  const index = stand.indexOf(id);
  const at = stand.clock.now();
  await stand.send(id, { type: "delete", force: false, at });
  for (let late = 0; late < 3; late++)
    await assert.rejects(
      stand.actors.send(index, { type: "beat", quiet: false, at }, { lasting: true }),
      isNotFound,
    );
  const others = [await stand.agent(place), await stand.agent(place), await stand.agent(place)];
  assert.equal(new Set(others.map((other) => stand.indexOf(other))).size, others.length);
  for (const other of others) assert.equal(stand.registry.idOf(stand.indexOf(other)), other);
  assert.equal(stand.registry.size, others.length);
});

test("events that wait behind a delete are refused, and its index is free once", async (t) => {
  const stand = await ActorStand.open(t);
  const place = await stand.place(false);
  const id = await stand.agent(place);
  const at = stand.clock.now();
  const deleted = stand.send(id, { type: "delete", force: false, at });
  const behind = [
    stand.send(id, { type: "beat", quiet: false, at }),
    stand.send(id, { type: "signoff", at }),
    stand.send(id, { type: "beat", quiet: false, at }),
  ];
  await deleted;
  for (const late of behind) await assert.rejects(late, isNotFound);
  const others = [await stand.agent(place), await stand.agent(place)];
  assert.equal(new Set(others.map((other) => stand.indexOf(other))).size, 2);
});

test("a new agent at an index that was used before starts from nothing", async (t) => {
  const stand = await ActorStand.open(t);
  const place = await stand.place(false);
  const id = await stand.agent(place);
  const index = stand.indexOf(id);
  await stand.beat(id).done;
  await stand.send(id, { type: "configured", error: "no such model", at: stand.clock.now() });
  stand.registry.columns.set(index, FLAG.connected, true);
  // Its last heartbeat is still on the way when it goes.
  stand.beat(id);
  await stand.send(id, { type: "delete", force: false, at: stand.clock.now() });
  const next = await stand.agent(place);
  assert.equal(stand.indexOf(next), index);
  await stand.flushed();
  const { columns } = stand.registry;
  assert.equal(columns.has(index, FLAG.connected), false);
  assert.equal(columns.has(index, FLAG.restful), false);
  const { status, context } = stand.registry.stateOf(index);
  assert.deepEqual(
    { status, lastSeenAt: context.lastSeenAt, lastError: context.lastError },
    { status: "provisioning", lastSeenAt: null, lastError: null },
  );
  assert.equal((await stand.row(next))?.last_seen_at, null);
});

test("a heartbeat that waits for an index when its next holder comes does not make that one seen", async (t) => {
  const stand = await ActorStand.open(t);
  const place = await stand.place(false);
  const gone = await stand.agent(place);
  const index = stand.indexOf(gone);
  await stand.beat(gone).done;
  await stand.send(gone, { type: "delete", force: false, at: stand.clock.now() });
  // As a batch that failed would put it back, or one too large leave it for later.
  stand.beats.touch(index, stand.clock.now());
  stand.registry.columns.lastSeen[index] = 0;
  const next = await stand.agent(place);
  assert.equal(stand.indexOf(next), index);
  stand.registry.columns.lastSeen[index] = 0;
  await stand.flushed();
  assert.equal((await stand.row(next))?.last_seen_at, null);
});

test("many agents come and go: indexes are used again, and each agent keeps what is its own", async (t) => {
  const stand = await ActorStand.open(t);
  const place = await stand.place(false);
  const held = new Map<string, number>();
  for (let round = 0; round < 10; round++) {
    stand.clock.advance(1_000);
    const made = await Promise.all(Array.from({ length: 20 }, () => stand.agent(place)));
    await Promise.all(made.map((id) => stand.beat(id).done));
    for (const id of made) held.set(id, stand.clock.now());
    const leaving = [...held.keys()].filter((_, position) => position % 2 === round % 2);
    await Promise.all(
      leaving.map((id) => stand.send(id, { type: "delete", force: false, at: stand.clock.now() })),
    );
    for (const id of leaving) held.delete(id);
  }
  assert.equal(stand.registry.size, held.size);
  assert.ok(stand.registry.extent <= 60, `${stand.registry.extent} indexes for ${held.size} agents`);
  for (const [id, seenAt] of held) {
    assert.equal(stand.registry.stateOf(stand.indexOf(id)).context.lastSeenAt, seenAt);
    assert.equal((await stand.row(id))?.last_seen_at?.getTime(), seenAt);
  }
});

test("the registry built from rows is the one that was there, to the millisecond", async (t) => {
  const stand = await ActorStand.open(t);
  const place = await stand.place(true);
  const ids: string[] = [];
  for (let count = 0; count < 40; count++) {
    stand.clock.advance(1_000_037 + count * 12_347);
    const id = await stand.agent(place);
    ids.push(id);
    const at = stand.clock.now();
    const { generation } = stand.registry.stateOf(stand.indexOf(id)).context;
    const failed = { type: "step.failed", generation, step: "session", error: "busy" } as const;
    await stand.send(id, { ...failed, transient: true, retryAfterMs: 7, jitter: 0.123, at });
    stand.beat(id);
  }
  await stand.flushed();
  await until(() => !ids.some((id) => stand.actors.isBusy(stand.indexOf(id))), { what: "rest" });
  const before = ids.map((id) => stand.registry.stateOf(stand.indexOf(id)));
  await stand.restart();
  const { listeningSince } = stand.registry;
  assert.deepEqual(
    ids.map((id) => stand.registry.stateOf(stand.indexOf(id))),
    before.map(({ context, ...state }) => ({ ...state, context: { ...context, listeningSince } })),
  );
});

test("heartbeats that wait for one agent become one, and all their senders hear of it", async (t) => {
  const stand = await ActorStand.open(t);
  const id = await stand.agent(await stand.place(false));
  const sent = Array.from({ length: 200 }, (_, position) => {
    stand.clock.advance(position % 3);
    return stand.send(id, { type: "beat", quiet: false, at: stand.clock.now() });
  });
  const before = stand.committals.length;
  await Promise.all(sent);
  assert.ok(stand.committals.length - before <= 2);
  assert.equal((await stand.row(id))?.last_seen_at?.getTime(), stand.clock.now());
});

test("requests beyond what may wait for one agent are refused, and those that wait are done", async (t) => {
  const stand = await ActorStand.open(t);
  const id = await stand.agent(await stand.place(false));
  const index = stand.indexOf(id);
  const sent = Array.from({ length: 100 }, () =>
    stand.actors.send(index, { type: "update", force: false, at: stand.clock.now() }),
  );
  const outcomes = await Promise.allSettled(sent);
  const refused = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
  assert.equal(refused.length, 36);
  for (const error of refused) assert.equal(error.reason, "rate_limited");
});

test("a server that stops while events wait for an agent ends", async (t) => {
  const stand = await ActorStand.open(t);
  const id = await stand.agent(await stand.place(false));
  const at = stand.clock.now();
  const first = stand.send(id, { type: "beat", quiet: false, at });
  stand.send(id, { type: "signoff", at }).catch(() => {});
  stand.send(id, { type: "beat", quiet: false, at }).catch(() => {});
  await stand.committer.stop();
  await first;
  assert.equal((await stand.row(id))?.status, "online");
});
