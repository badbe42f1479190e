import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Growth, grown } from "../src/actors/growth.ts";

function columns() {
  const steps: string[] = [];
  const all = { one: new Int32Array(16), other: new Float64Array(16) };
  const growth = new Growth(16, (capacity) => [
    () => {
      steps.push("one");
      all.one = grown(all.one, new Int32Array(capacity));
    },
    () => {
      steps.push("other");
      all.other = grown(all.other, new Float64Array(capacity));
    },
  ]);
  return { all, growth, steps };
}

test("columns are made longer before they are full, one a turn of the loop, and keep what they hold", async () => {
  const { all, growth, steps } = columns();
  all.one[3] = 7;
  all.other[3] = 0.5;
  growth.reach(13);
  await turn();
  assert.deepEqual(steps, []);
  growth.reach(14);
  assert.deepEqual(steps, []);
  assert.equal(growth.capacity, 16);
  await turn();
  assert.deepEqual(steps, ["one"]);
  await turn();
  assert.deepEqual(steps, ["one", "other"]);
  await turn();
  assert.equal(growth.capacity, 32);
  assert.deepEqual([all.one.length, all.other.length], [32, 32]);
  assert.deepEqual([all.one[3], all.other[3]], [7, 0.5]);
});

test("where room is needed at once it is made at once, also in the middle of making some", async () => {
  const { all, growth, steps } = columns();
  growth.reach(15);
  await turn();
  growth.reach(16);
  assert.equal(growth.capacity, 32);
  growth.reach(1_000);
  assert.ok(growth.capacity > 1_000);
  assert.equal(all.one.length, growth.capacity);
  assert.equal(all.other.length, growth.capacity);
  const done = steps.length;
  for (let count = 0; count < 4; count++) await turn();
  assert.equal(steps.length, done);
});
