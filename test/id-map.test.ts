import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { IdMap } from "../src/actors/id-map.ts";

test("ids of any form find their numbers, and the size is that of an ordinary map", () => {
  const map = new IdMap();
  const like = new Map<string, number>();
  const ids = [
    "",
    "0",
    "f",
    "ff",
    "Zebra",
    "ключ",
    "\uffff\uffff",
    ...Array.from({ length: 2_000 }, () => randomUUID()),
  ];
  for (const [number, id] of [...ids, ...ids.slice(0, 500)].entries()) {
    map.set(id, number);
    like.set(id, number);
  }
  for (const id of ids.slice(300, 900)) {
    map.delete(id);
    like.delete(id);
    map.delete(id);
  }
  assert.equal(map.size, like.size);
  for (const id of [...ids, "not there"]) assert.equal(map.get(id), like.get(id));
});
