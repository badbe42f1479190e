import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { deadlineOf, JITTER, jittered, NOTICEABLE } from "../machines/pace.ts";
import { PacedFleet } from "./support/paced-fleet.ts";
import { seedOf } from "./support/seed.ts";

const AGENTS = 40;

type Act = (fleet: PacedFleet) => void;

const position = fc.nat(AGENTS - 1);
const seconds = fc.constantFrom(1, 2, 5, 30, 600);
const part = fc.double({ min: 0, max: 1, noNaN: true });
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.tuple(position, part).map(
    ([at, late]): Act =>
      (fleet) =>
        fleet.attach(at, late),
  ),
  fc.tuple(part).map(
    ([late]): Act =>
      (fleet) => {
        for (let at = 0; at < AGENTS; at++) fleet.attach(at, late);
      },
  ),
  position.map(
    (at): Act =>
      (fleet) =>
        fleet.detach(at),
  ),
  position.map(
    (left): Act =>
      (fleet) => {
        for (let at = 0; at < AGENTS; at++) if (at !== left) fleet.detach(at);
      },
  ),
  fc.tuple(position, seconds).map(
    ([at, every]): Act =>
      (fleet) =>
        fleet.want(at, every),
  ),
  {
    weight: 3,
    arbitrary: fc.integer({ min: 100, max: 20_000 }).map(
      (ms): Act =>
        (fleet) =>
          fleet.pass(ms),
    ),
  },
);

test("B2 whatever a fleet does, its heartbeats stay under what is permitted, and nobody who obeys is taken for silent", (t) => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.2, max: 30, noNaN: true }),
      fc.array(seconds, { minLength: AGENTS, maxLength: AGENTS }),
      fc.array(act, { maxLength: 60, size: "max" }),
      (most, wishes, acts) => {
        const fleet = new PacedFleet(most, wishes);
        for (const each of acts) {
          each(fleet);
          fleet.assertPaced();
        }
      },
    ),
    { seed: seedOf(t), numRuns: 300 },
  );
});

test("B2 a fleet that grows a thousandfold stays under what is permitted; each newcomer costs the others few words", () => {
  const fleet = new PacedFleet(
    50,
    Array.from({ length: 5_000 }, () => 10),
  );
  for (let count = 0; count < 5_000; count++) {
    fleet.told = 0;
    fleet.attach(count, 0);
    assert.ok(fleet.told <= 16, `${fleet.told} were told at once`);
    if (count % 500 === 0) fleet.assertPaced();
  }
  fleet.assertPaced();
  assert.ok(fleet.total() > 30, "what is permitted is made use of");
});

test("B2 when a fleet shrinks those who stay are told their own pace again, some at a time", () => {
  const fleet = new PacedFleet(
    500,
    Array.from({ length: 5_000 }, () => 2),
  );
  for (let count = 0; count < 5_000; count++) fleet.attach(count, 0);
  for (let count = 3_000; count < 5_000; count++) fleet.detach(count);
  assert.ok(fleet.total() < 320);
  for (let second = 0; second < 4; second++) {
    fleet.told = 0;
    fleet.pass(1_000);
    assert.ok(fleet.told <= 1_000, `${fleet.told} were told in a second`);
    fleet.assertPaced();
  }
  assert.ok(fleet.total() > 380, `${fleet.total()}`);
  for (let count = 100; count < 3_000; count++) fleet.detach(count);
  fleet.pass(5_000);
  for (let count = 0; count < 100; count++) assert.ok(fleet.pacer.paceOf(count).every_ms <= 2_000);
  fleet.told = 0;
  fleet.pass(5_000);
  assert.equal(fleet.told, 0, "nobody is told what is known");
});

test("B2 what comes and goes and is not noticeable is told nobody", () => {
  const fleet = new PacedFleet(
    10,
    Array.from({ length: 101 }, () => 1),
  );
  for (let count = 0; count < 101; count++) fleet.attach(count, 0);
  fleet.pass(10_000);
  fleet.detach(100);
  fleet.pass(10_000);
  fleet.told = 0;
  for (let count = 0; count < 20; count++) {
    fleet.attach(100, 0);
    fleet.pass(2_000);
    fleet.detach(100);
    fleet.pass(2_000);
  }
  assert.equal(fleet.told, 0);
  fleet.assertPaced();
});

test("B2 a deadline is longer before its agent is told to beat less often, and shorter once it was heard after the opposite", () => {
  const fleet = new PacedFleet(
    1,
    Array.from({ length: 60 }, () => 1),
  );
  const deadline = () => fleet.registry.columns.offlineAfter[0] ?? 0;
  fleet.attach(0, 0);
  const first = deadline();
  for (let count = 1; count < 60; count++) fleet.attach(count, 0);
  const slow = fleet.pacer.paceOf(0).every_ms;
  assert.ok(slow > 20_000 && deadline() >= 2 * slow, `${deadline()} for ${slow}`);
  fleet.pass(slow + 1_000);
  const beat = fleet.registry.columns.lastSeen[0] ?? 0;
  const long = deadline();
  for (let count = 1; count < 60; count++) fleet.detach(count);
  for (fleet.told = 0; fleet.told === 0; ) fleet.clock.advance(1_000);
  assert.equal(fleet.pacer.paceOf(0).every_ms < 2_000, true);
  // It has not been heard since: the message may still be under way.
  fleet.clock.advance(60_000);
  assert.equal(fleet.registry.columns.lastSeen[0], beat);
  assert.equal(deadline(), long);
  fleet.registry.columns.lastSeen[0] = fleet.clock.now();
  fleet.clock.advance(1_000);
  assert.ok(deadline() <= first * NOTICEABLE, `${deadline()} is not ${first}`);
});

test("B2 the jitter makes no interval longer, is the same each time, and lies evenly between", () => {
  const intervals = Array.from({ length: 1_000 }, (_, no) => jittered(10_000, no));
  assert.deepEqual(
    intervals,
    intervals.map((_, no) => jittered(10_000, no)),
  );
  assert.ok(Math.max(...intervals) <= 10_000 && Math.min(...intervals) >= 10_000 * (1 - JITTER));
  const tenths = new Map<number, number>();
  for (const ms of intervals) {
    const tenth = Math.min(9, Math.floor((10_000 - ms) / 100));
    tenths.set(tenth, (tenths.get(tenth) ?? 0) + 1);
  }
  for (const [tenth, count] of tenths) assert.ok(count > 90 && count < 110, `${count} in tenth ${tenth}`);
});

test("B2 a deadline is never shorter than twice any interval that its agent may be keeping", () => {
  assert.equal(deadlineOf(600_000, 30_000, 28_000), 600_000);
  assert.equal(deadlineOf(600_000, 600_000, 0), 1_200_000);
  assert.equal(deadlineOf(600_000, 30_000, 500_000), 1_000_000);
});
