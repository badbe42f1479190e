import assert from "node:assert/strict";
import { test } from "node:test";
import { Room } from "../src/actors/room.ts";

test("who waits for room proceeds in the order of arrival, also behind thousands, and never more than there is room for", () => {
  const room = new Room(2);
  const count = 5_000;
  const begun: number[] = [];
  const come = (number: number) =>
    room.whenFree({
      proceed: () => {
        room.enter();
        begun.push(number);
      },
    });
  for (let number = 0; number < count; number++) come(number);
  assert.deepEqual(begun, [0, 1]);
  for (let done = 1; done <= count; done++) {
    come(count + done - 1);
    room.leave();
    assert.equal(begun.length, done + 2);
  }
  for (let done = 1; done <= count; done++) room.leave();
  assert.deepEqual(
    begun,
    Array.from({ length: 2 * count }, (_, number) => number),
  );
});

test("who must not wait enters a full room, and who waits proceeds when enough have left", () => {
  const room = new Room(1);
  const begun: string[] = [];
  const come = (name: string) => room.whenFree({ proceed: () => begun.push(name) });
  room.enter();
  room.enter();
  come("one");
  come("two");
  room.leave();
  assert.deepEqual(begun, []);
  room.leave();
  // Neither has entered: the one had nothing to do, so there is room for the other too.
  assert.deepEqual(begun, ["one", "two"]);
});
