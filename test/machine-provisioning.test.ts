import assert from "node:assert/strict";
import { test } from "node:test";
import { BACKOFF, retryDelay } from "../machines/backoff.ts";
import { MAX_TRIES, MAX_WAKES } from "../machines/model.ts";
import { CHECKIN_MS, Life } from "./support/life.ts";

test("P11 provisioning goes session, roster, files, wake, each once the one before is done", () => {
  const life = new Life().is({ type: "provision" });
  assert.deepEqual(life.asked, ["mintToken", "runStep"]);
  const steps = [];
  while (life.work === "running") {
    steps.push(life.context.step);
    life.done();
  }
  assert.deepEqual(steps, ["session", "roster", "files", "wake"]);
  assert.deepEqual([life.status, life.work], ["provisioning", "confirming"]);
  assert.deepEqual(life.asked, ["settle"]);
});

test("P12 each step of provisioning leaves its event", () => {
  const life = new Life().is({ type: "provision" });
  const recorded = [];
  while (life.work === "running") recorded.push(life.done().recorded);
  assert.deepEqual(recorded, [["agent.session.created"], [], ["agent.provision"], ["agent.wakeup.sent"]]);
});

test("P12 a failed provisioning leaves the agent in provisioning with the gateway's words", () => {
  const first = new Life().is({ type: "provision" }).failed();
  assert.deepEqual(
    [first.status, first.work, first.context.lastError],
    ["provisioning", "failed", "no room"],
  );
  assert.deepEqual(first.recorded, ["agent.session.failed"]);
  const later = new Life().is({ type: "provision" }).done().failed();
  assert.deepEqual(later.recorded, ["agent.provision.failed"]);
  assert.deepEqual(
    later.effects.find(({ type }) => type === "settle"),
    later.effects.find((effect) => effect.type === "settle" && effect.params.error === "no room"),
  );
});

test("P17 an update mints a token, goes updating, and ends online with its events", () => {
  const life = Life.online().is({ type: "update", force: true });
  assert.deepEqual([life.status, life.work, life.context.force], ["updating", "running", true]);
  assert.ok(life.asked.includes("mintToken") && life.asked.includes("runStep"));
  life.finish();
  assert.equal(life.status, "online");
  assert.deepEqual(life.recorded, ["agent.wakeup.sent", "agent.update.direct"]);
  assert.ok(life.asked.includes("configure") && life.asked.includes("settle"));
});

test("P22 a delete is gone only after the gateway has let it go, and stays if the gateway refuses", () => {
  const life = Life.online().is({ type: "delete", force: false });
  assert.deepEqual([life.status, life.context.step], ["deleting", "unroster"]);
  assert.deepEqual(life.asked, ["runStep"]);
  assert.equal(life.done().status, "deleting");
  assert.equal(life.done().status, "gone");
  assert.deepEqual(life.recorded, ["agent.delete.direct"]);
  const refused = Life.online().is({ type: "delete", force: false }).failed();
  assert.deepEqual(
    [refused.status, refused.work, refused.context.lastError],
    ["online", "failed", "no room"],
  );
  assert.deepEqual(refused.recorded, ["agent.delete.failed"]);
});

test("B4 a transient failure is tried again with growing pauses, and only so often", () => {
  const life = new Life().is({ type: "provision" });
  for (let failures = 1; failures < MAX_TRIES; failures++) {
    life.failed(true);
    assert.equal(life.work, "waiting");
    assert.equal(life.context.attempt, failures);
    assert.equal(life.context.dueAt, life.now + Math.min(60_000, 1_000 * 2 ** (failures - 1)));
    assert.deepEqual(life.effects, []);
    const dueIn = (life.context.dueAt ?? 0) - life.now;
    assert.equal(life.after(dueIn - 1).is({ type: "due" }).work, "waiting");
    assert.equal(life.after(1).is({ type: "due" }).work, "running");
    assert.deepEqual(life.asked, ["runStep"]);
  }
  life.failed(true);
  assert.deepEqual([life.work, life.context.dueAt], ["waiting", null]);
});

test("B4 a step that works at last starts the next one with a clean count", () => {
  const life = new Life().is({ type: "provision" }).failed(true).after(60_000).is({ type: "due" }).done();
  assert.deepEqual(
    [life.context.step, life.context.attempt, life.context.lastError, life.context.dueAt],
    ["roster", 0, null, null],
  );
});

test("B4 the pause is never shorter than the gateway asks, and jitter spreads the rest", () => {
  assert.equal(retryDelay(1, 0), 0);
  assert.equal(retryDelay(1, 1), BACKOFF.firstMs);
  assert.equal(retryDelay(3, 0.5), 2_000);
  assert.equal(retryDelay(50, 1), BACKOFF.greatestMs);
  assert.equal(retryDelay(2, 0, 5_000), 5_000);
  const life = new Life().is({ type: "provision" }).failed(true, { jitter: 0, retryAfterMs: 9_000 });
  assert.equal(life.context.dueAt, life.now + 9_000);
});

test("B5 an answer of an older generation, or of a step that is over, is dropped", () => {
  const life = Life.online().is({ type: "update", force: false });
  const { generation } = life.context;
  const before = life.state;
  const late = { error: "late", transient: false, retryAfterMs: 0, jitter: 0 };
  life.is({ type: "step.done", generation: generation - 1, step: "session" });
  assert.deepEqual(life.state, before);
  life.is({ type: "step.failed", generation: generation - 1, step: "session", ...late });
  assert.deepEqual(life.state, before);
  life.is({ type: "step.done", generation, step: "files" });
  assert.deepEqual(life.state, before);
  life.done();
  const further = life.state;
  life.is({ type: "step.done", generation, step: "session" });
  assert.deepEqual(life.state, further);
  assert.deepEqual(life.effects, []);
});

test("B5 newer work replaces what is under way: its generation is one more, and it starts at the first step", () => {
  const life = new Life().is({ type: "provision" }).done().failed(true);
  const { generation } = life.context;
  life.is({ type: "update", force: false });
  assert.deepEqual(
    [life.work, life.context.generation, life.context.step, life.context.attempt, life.context.dueAt],
    ["running", generation + 1, "session", 0, null],
  );
});

test("B5 an agent that does not check in is woken three times in all, then it is offline with an error", () => {
  const life = new Life().is({ type: "provision" }).finish();
  for (let wakes = 1; wakes < MAX_WAKES; wakes++) {
    assert.equal(life.context.wakes, wakes);
    assert.equal(life.after(CHECKIN_MS - 1).is({ type: "due" }).work, "confirming");
    assert.equal(life.after(1).is({ type: "due" }).work, "running");
    assert.equal(life.context.step, "wake");
    assert.deepEqual(life.asked, ["runStep"]);
    assert.deepEqual(life.done().recorded, ["agent.wakeup.sent"]);
    assert.deepEqual(life.asked, [], "the work has been settled before");
  }
  life.after(CHECKIN_MS).is({ type: "due" });
  assert.deepEqual([life.status, life.work], ["offline", "failed"]);
  assert.match(life.context.lastError ?? "", /3 wake-ups/);
  assert.deepEqual(life.recorded, ["agent.offline"]);
});

test("B5 a wake-up that cannot be repeated counts as one, and its failure is not the work's", () => {
  const life = new Life().is({ type: "provision" }).finish().after(CHECKIN_MS).is({ type: "due" });
  life.failed();
  assert.deepEqual([life.status, life.work, life.context.wakes], ["provisioning", "confirming", 2]);
  assert.deepEqual(life.recorded, []);
});

test("B5 a check-in ends the watch, by a heartbeat or by a sign-off", () => {
  for (const sign of [{ type: "beat", quiet: false }, { type: "signoff" }] as const) {
    const life = new Life().is({ type: "provision" }).finish().is(sign);
    assert.equal(life.work, "idle");
    assert.deepEqual([life.context.action, life.context.wakes, life.context.dueAt], [null, 0, null]);
    const before = life.state;
    assert.deepEqual(life.after(10 * CHECKIN_MS).is({ type: "due" }).state, before);
  }
});

test("B5 a direct agent is not provisioned, not woken, and stays in provisioning", () => {
  const life = new Life({ managed: false }).is({ type: "provision" });
  assert.deepEqual([life.status, life.work, life.effects], ["provisioning", "idle", []]);
  assert.equal(life.after(10 * CHECKIN_MS).is({ type: "due" }).status, "provisioning");
});

test("B10 a forced delete goes on when the gateway refuses", () => {
  const life = Life.online().is({ type: "delete", force: true });
  assert.equal(life.failed().context.step, "unsession");
  assert.equal(life.failed().status, "gone");
  assert.ok(life.asked.includes("settle"));
});

test("B10 a forced delete takes the place of one that is not, and nothing else does", () => {
  const life = Life.online().is({ type: "delete", force: false });
  const before = life.state;
  for (const event of [
    { type: "delete", force: false },
    { type: "update", force: true },
    { type: "provision" },
  ] as const)
    assert.deepEqual([life.is(event).state, life.effects], [before, []], event.type);
  life.is({ type: "delete", force: true });
  assert.deepEqual(
    [life.status, life.context.force, life.context.generation],
    ["deleting", true, before.context.generation + 1],
  );
  const forced = life.state;
  assert.deepEqual(life.is({ type: "delete", force: true }).state, forced);
});

test("B10 a delete takes the place of an update, and if it fails the agent is what it was before both", () => {
  const life = Life.online().is({ type: "signoff" }).after(700_000).is({ type: "update", force: false });
  life.is({ type: "delete", force: false });
  assert.deepEqual([life.status, life.context.cameFrom], ["deleting", "offline"]);
  assert.equal(life.failed().status, "offline");
});

test("P19 provisioning again an agent that lives changes no status", () => {
  const life = Life.online().is({ type: "provision" });
  assert.deepEqual([life.status, life.work], ["online", "running"]);
  assert.equal(life.finish().status, "online");
  const failing = Life.online().is({ type: "provision" }).failed();
  assert.deepEqual([failing.status, failing.context.lastError], ["online", "no room"]);
});

test("B5 an agent that comes while it is still being woken has checked in", () => {
  const life = new Life().is({ type: "provision" }).done().done().done();
  assert.equal(life.context.step, "wake");
  life.after(10).beat().after(10).done();
  assert.deepEqual([life.status, life.work, life.context.dueAt], ["online", "idle", null]);
  assert.deepEqual(life.asked, ["settle"]);
  // One that came before it was woken has not.
  const early = new Life().is({ type: "provision" }).done().done().beat().after(10).done().after(10).done();
  assert.deepEqual([early.status, early.work], ["online", "confirming"]);
});
