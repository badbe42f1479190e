import assert from "node:assert/strict";
import { test } from "node:test";
import { Topic } from "../src/live/topic.ts";
import { parseTopic } from "../src/live/topics.ts";

test("B11 what was missed is told when it fits one answer; with more a snapshot takes its place", () => {
  const name = parseTopic("agents");
  assert.ok(name);
  const topic = new Topic("organization", "agents", name, { changes: 1_000, bytes: 8_388_608 }, () => {});
  for (let n = 0; n < 20; n++) topic.change([{ id: String(n), text: "x".repeat(100_000) }], []);
  const { epoch, offset } = topic;
  assert.equal(topic.since(epoch, 0), undefined);
  assert.deepEqual(
    topic.since(epoch, offset - 5)?.map((change) => change.offset),
    [offset - 4, offset - 3, offset - 2, offset - 1, offset],
  );
  assert.equal(topic.since("another epoch", offset), undefined);
});
