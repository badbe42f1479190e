import assert from "node:assert/strict";
import { test } from "node:test";
import { Ring, type TopicChange } from "../src/live/ring.ts";

const change = (offset: number): TopicChange => ({ offset, upserts: [{ id: `${offset}` }], removes: [] });

function filled(upTo: number, bounds = { changes: 10, bytes: 1_000 }, bytes = 1): Ring {
  const ring = new Ring(bounds);
  for (let offset = 1; offset <= upTo; offset++) ring.push(change(offset), bytes);
  return ring;
}

const offsets = (changes: TopicChange[] | undefined) => changes?.map(({ offset }) => offset);

test("B11 what came since a position is told whole and in order", () => {
  const ring = filled(5);
  assert.deepEqual(offsets(ring.since(2, 5)), [3, 4, 5]);
  assert.deepEqual(offsets(ring.since(0, 5)), [1, 2, 3, 4, 5]);
  assert.deepEqual(offsets(ring.since(5, 5)), []);
});

test("B11 a position of which something is gone, or that never was, is not good", () => {
  const ring = filled(25);
  assert.equal(ring.since(14, 25), undefined);
  assert.deepEqual(offsets(ring.since(15, 25)), [16, 17, 18, 19, 20, 21, 22, 23, 24, 25]);
  assert.equal(ring.since(26, 25), undefined);
  assert.equal(new Ring({ changes: 10, bytes: 10 }).since(0, 1), undefined);
  assert.deepEqual(new Ring({ changes: 10, bytes: 10 }).since(0, 0), []);
});

test("B11 history is bounded by its weight too", () => {
  const ring = filled(8, { changes: 100, bytes: 30 }, 10);
  assert.equal(ring.since(4, 8), undefined);
  assert.deepEqual(offsets(ring.since(5, 8)), [6, 7, 8]);
  ring.push(change(9), 31);
  assert.equal(ring.since(8, 9), undefined);
  ring.push(change(10), 10);
  assert.deepEqual(offsets(ring.since(9, 10)), [10]);
});
