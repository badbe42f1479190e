import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_TRIES, MAX_WAKES } from "../machines/model.ts";
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

/** Tries until the work is given up for now. */
function stall(life: Life): Life {
  for (let tries = 1; tries < MAX_TRIES; tries++) life.failed(true).after(60_000).is({ type: "due" });
  return life.failed(true);
}

test("B7 an update whose gateway stays away leaves updating, and goes on where it stood when the gateway is back", () => {
  const life = stall(Life.online().is({ type: "update", force: true }).done().after(1));
  const { generation } = life.context;
  assert.deepEqual([life.status, life.work, life.context.dueAt], ["online", "waiting", null]);
  assert.deepEqual([life.context.lastError, life.context.failed], ["no room", "update"]);
  assert.deepEqual(life.recorded, ["agent.update.failed"]);
  assert.deepEqual(life.asked, ["settle"]);
  const stalled = life.state;
  assert.deepEqual(life.after(3_600_000).is({ type: "due" }).state, stalled);
  life.is({ type: "resume" });
  assert.deepEqual([life.status, life.work, life.context.step], ["updating", "running", "roster"]);
  assert.deepEqual(
    [life.context.generation, life.context.attempt, life.context.force],
    [generation, 0, true],
  );
  assert.deepEqual([life.context.lastError, life.context.failed], [null, null]);
  assert.deepEqual([life.recorded, life.asked], [["agent.update.requested"], ["runStep"]]);
  assert.equal(life.finish().beat().status, "online");
});

test("B4 a provisioning that has stalled goes on when its gateway is back, or when asked", () => {
  for (const type of ["resume", "retry"] as const) {
    const life = stall(new Life().is({ type: "provision" }).done());
    assert.deepEqual([life.status, life.work], ["provisioning", "waiting"]);
    life.is({ type });
    assert.deepEqual([life.work, life.context.step, life.asked], ["running", "roster", ["runStep"]]);
    assert.deepEqual([life.context.generation, life.context.failed], [1, null]);
  }
});

test("a gateway that is back goes on with nothing else: not with what waits, was refused or is done", () => {
  const lives = {
    waiting: new Life().is({ type: "provision" }).failed(true),
    refused: Life.online().is({ type: "update", force: false }).failed(),
    confirming: new Life().is({ type: "provision" }).finish(),
    idle: Life.online(),
    direct: Life.online({ managed: false }),
  };
  for (const [what, life] of Object.entries(lives)) {
    const before = life.state;
    life.is({ type: "resume" });
    assert.deepEqual([life.state, life.effects], [before, []], what);
  }
});

test("P22 a delete that did not come to an end is not gone on with by itself: the agent was said to stay", () => {
  const life = stall(Life.online().is({ type: "delete", force: false }));
  assert.deepEqual([life.status, life.work, life.context.failed], ["online", "failed", "delete"]);
  assert.deepEqual([life.is({ type: "resume" }).status, life.effects], ["online", []]);
  assert.equal(life.is(retry).status, "deleting");
});

test("B7 newer work takes the place of what has stalled", () => {
  const life = stall(Life.online().is({ type: "update", force: false }));
  const { generation } = life.context;
  life.is({ type: "update", force: false });
  assert.deepEqual([life.status, life.context.step, life.context.failed], ["updating", "session", null]);
  assert.equal(life.context.generation, generation + 1);
  assert.equal(stall(life).is({ type: "delete", force: false }).status, "deleting");
});

test("B5 an agent that came while it was still being woken has no error left", () => {
  const life = new Life().is({ type: "provision" }).done().done().done().failed(true);
  life.after(60_000).is({ type: "due" }).after(1).beat().after(1).done();
  assert.deepEqual([life.status, life.work, life.context.lastError], ["online", "idle", null]);
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
