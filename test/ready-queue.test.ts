import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadyQueue } from "../src/actors/ready-queue.ts";

test("who waits for a turn is taken in the order of arrival, also past thousands who are gone", () => {
  const queue = new ReadyQueue();
  const count = 5_000;
  for (let index = 0; index < count; index++) queue.push(index);
  for (let index = 0; index < count; index += 2) assert.equal(queue.delete(index), true);
  for (let index = 1; index < count; index += 2) {
    assert.equal(queue.shift(), index);
    queue.push(count + index);
  }
  for (let index = 1; index < count; index += 2) assert.equal(queue.shift(), count + index);
  assert.equal(queue.shift(), undefined);
});

test("who was taken out of the middle is not in the queue, and comes again at its end", () => {
  const queue = new ReadyQueue();
  for (const index of [7, 8]) queue.push(index);
  assert.equal(queue.delete(9), false);
  assert.equal(queue.delete(7), true);
  assert.equal(queue.delete(7), false);
  assert.equal(queue.shift(), 8);
  queue.push(7);
  assert.equal(queue.shift(), 7);
  assert.equal(queue.shift(), undefined);
});
