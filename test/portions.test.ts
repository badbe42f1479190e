import assert from "node:assert/strict";
import { test } from "node:test";
import { PORTION_BYTES, portionsOf } from "../src/live/portions.ts";

test("a portion is as heavy as it is written, whatever its texts hold", () => {
  for (const character of ["a", "\u0001", "é", "💥", '"']) {
    const things = Array.from({ length: 20 }, (_, id) => ({
      id,
      soul_template: character.repeat(20_000),
      reported: { deep: [{ text: character.repeat(3_000) }] },
    }));
    const portions = portionsOf(things);
    assert.deepEqual(portions.flat(), things);
    for (const portion of portions)
      assert.ok(
        portion.length === 1 || Buffer.byteLength(JSON.stringify(portion)) <= PORTION_BYTES * 1.1,
        `${portion.length} of ${character}`,
      );
  }
});
