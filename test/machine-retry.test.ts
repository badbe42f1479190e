import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_WAKES } from "../machines/model.ts";
import { CHECKIN_MS, Life } from "./support/life.ts";

const retry = { type: "retry" } as const;

test("B7 a provisioning that was given up begins anew, with a fresh token and generation", () => {
  const life = new Life().is({ type: "provision" }).failed();
  assert.equal(life.context.failed, "provision");
  const { generation } = life.context;
  life.is(retry);
  assert.equal(life.work, "running");
  assert.deepEqual([life.context.step, life.context.failed, life.context.lastError], ["session", null, null]);
  assert.equal(life.context.generation, generation + 1);
  assert.deepEqual(life.asked, ["mintToken", "runStep"]);
  assert.equal(life.finish().beat().status, "online");
});

test("B7 an update that was given up is updating again, and ends as its last_seen says", () => {
  const life = Life.online().is({ type: "update", force: false }).failed();
  assert.deepEqual([life.status, life.context.failed], ["online", "update"]);
  life.is(retry);
  assert.deepEqual([life.status, life.work, life.context.action], ["updating", "running", "update"]);
  assert.deepEqual(life.recorded, ["agent.update.requested"]);
  assert.equal(life.finish().status, "online");
  assert.equal(life.context.failed, null);
});

test("B10 a delete that was given up is deleting again, and ends with the agent gone", () => {
  const life = Life.online().is({ type: "delete", force: false }).failed();
  assert.deepEqual([life.status, life.context.failed], ["online", "delete"]);
  assert.equal(life.is(retry).status, "deleting");
  assert.equal(life.finish().status, "gone");
});

test("what waits for its next try waits no longer", () => {
  const life = new Life().is({ type: "provision" }).failed(true);
  const { generation } = life.context;
  assert.equal(life.work, "waiting");
  life.is(retry);
  assert.deepEqual([life.work, life.context.generation, life.context.dueAt], ["running", generation, null]);
  assert.deepEqual(life.asked, ["runStep"]);
});

test("B5 an agent that never checked in is set up and woken anew", () => {
  const life = new Life().is({ type: "provision" }).finish();
  for (let wakes = 1; wakes < MAX_WAKES; wakes++) life.after(CHECKIN_MS).is({ type: "due" }).finish();
  life.after(CHECKIN_MS).is({ type: "due" });
  assert.deepEqual([life.status, life.context.failed], ["offline", "provision"]);
  assert.deepEqual([life.is(retry).work, life.context.wakes], ["running", 0]);
});

test("where nothing was given up there is nothing to try again", () => {
  for (const life of [Life.online(), new Life().is({ type: "provision" }), Life.online({ managed: false })]) {
    const before = life.state;
    life.is(retry);
    assert.deepEqual([life.status, life.work, life.effects], [before.status, before.work, []]);
  }
});

test("B7 other work takes the place of what was given up", () => {
  const life = Life.online()
    .is({ type: "delete", force: false })
    .failed()
    .is({ type: "update", force: false });
  assert.deepEqual([life.status, life.context.failed], ["updating", null]);
});

test("what the gateway says of a step is kept in the log, also of the last one", () => {
  const life = Life.online().is({ type: "delete", force: false });
  for (const step of ["unroster", "unsession"] as const)
    life.is({ type: "step.done", generation: life.context.generation, step, remarks: [`${step} said`] });
  assert.equal(life.status, "gone");
  assert.deepEqual(
    life.effects.flatMap((effect) => (effect.type === "record" ? [effect.params.message] : [])),
    ["unsession said", "Scout was deleted."],
  );
});
