import assert from "node:assert/strict";
import { test } from "node:test";
import { beatOnlySetsLastSeen, react } from "../machines/agent.ts";
import { type AgentEvent, STATUSES, WORK_STATES } from "../machines/model.ts";
import { CHECKIN_MS, Life, OFFLINE_AFTER_MS } from "./support/life.ts";

const direct = { managed: false };

test("P3 the first heartbeat takes a provisioning agent online", () => {
  const life = new Life().is({ type: "provision" }).after(5).beat();
  assert.equal(life.status, "online");
  assert.equal(life.context.lastSeenAt, life.now);
  assert.deepEqual(life.recorded, ["agent.heartbeat"]);
});

test("P3 a heartbeat takes an offline agent online and clears its error", () => {
  const life = Life.online().is({ type: "signoff" });
  life.is({ type: "configured", error: "no such model" });
  assert.match(life.context.lastError ?? "", /no such model/);
  life.after(5).beat();
  assert.equal(life.status, "online");
  assert.equal(life.context.lastError, null);
});

test("P3 in updating and deleting a heartbeat or a sign-off only sets last_seen", () => {
  for (const type of ["update", "delete"] as const)
    for (const sign of [{ type: "beat", quiet: false }, { type: "signoff" }] as const) {
      const life = Life.online().is({ type, force: false });
      const before = life.state;
      life.after(5).is(sign);
      assert.deepEqual(life.state, { ...before, context: { ...before.context, lastSeenAt: life.now } });
      assert.deepEqual(life.recorded, []);
    }
});

test("P3 a heartbeat that comes late in order does not set last_seen back", () => {
  const life = Life.online();
  const seenAt = life.context.lastSeenAt;
  life.after(-50).beat();
  assert.equal(life.context.lastSeenAt, seenAt);
});

test("P2 silence longer than the deadline is offline, silence of just that long is not", () => {
  const life = Life.online().after(OFFLINE_AFTER_MS).is({ type: "silence" });
  assert.equal(life.status, "online");
  assert.deepEqual(life.effects, []);
  life.after(1).is({ type: "silence" });
  assert.equal(life.status, "offline");
  assert.deepEqual(life.recorded, ["agent.offline"]);
});

test("P2 silence changes neither updating nor deleting, nor one that was never seen", () => {
  const lives = [
    Life.online().is({ type: "update", force: false }),
    Life.online().is({ type: "delete", force: false }),
    new Life().is({ type: "provision" }),
  ];
  for (const life of lives) {
    const before = life.state;
    life.after(10 * OFFLINE_AFTER_MS).is({ type: "silence" });
    assert.deepEqual(life.state, before);
    assert.deepEqual(life.effects, []);
  }
});

test("B2 silence from before the server listened is not held against an agent", () => {
  const life = Life.online();
  life.after(5 * OFFLINE_AFTER_MS);
  life.state = { ...life.state, context: { ...life.context, listeningSince: life.now } };
  assert.equal(life.after(OFFLINE_AFTER_MS).is({ type: "silence" }).status, "online");
  assert.equal(life.after(1).is({ type: "silence" }).status, "offline");
});

test("B1 an agent that signs off is offline at once", () => {
  const life = Life.online().after(5).is({ type: "signoff" });
  assert.equal(life.status, "offline");
  assert.equal(life.context.lastSeenAt, life.now);
  assert.deepEqual(life.recorded, ["agent.heartbeat", "agent.offline"]);
  assert.equal(new Life().is({ type: "provision" }).is({ type: "signoff" }).status, "offline");
});

test("B1 a lost socket is offline after the grace, unless the agent was heard since", () => {
  const lost = Life.online();
  const lostAt = lost.now;
  const gone = { type: "abandoned", lostAt, graceMs: 1_000 } as const;
  assert.equal(lost.after(999).is(gone).status, "online");
  const heard = Life.online().after(500).beat().after(500).is(gone);
  assert.equal(heard.status, "online");
  assert.equal(heard.after(500).is(gone).status, "offline");
  assert.equal(lost.after(1).is(gone).status, "offline");
});

test("P20 a heartbeat is offered for the log, another sign of life is not", () => {
  const statesThatStay = [
    Life.online(),
    Life.online().is({ type: "signoff" }),
    Life.online().is({ type: "update", force: false }),
    Life.online().is({ type: "delete", force: false }),
  ];
  for (const life of statesThatStay) {
    if (life.status === "offline") continue;
    assert.deepEqual(life.beat().asked, ["recordBeat"], life.status);
    assert.deepEqual(life.after(1).is({ type: "beat", quiet: true }).effects, [], life.status);
    assert.equal(life.context.lastSeenAt, life.now);
  }
  const returning = Life.online().is({ type: "signoff" }).is({ type: "beat", quiet: true });
  assert.deepEqual(returning.recorded, ["agent.heartbeat"]);
});

test("P17 a direct agent's update is done at once, whatever its status", () => {
  const lives = [new Life(direct), Life.online(direct), Life.online(direct).is({ type: "signoff" })];
  for (const life of lives) {
    const before = life.state;
    life.is({ type: "update", force: true });
    assert.deepEqual(life.state, before);
    assert.deepEqual(life.recorded, ["agent.update.direct"]);
    assert.ok(life.asked.includes("configure"));
    assert.ok(!life.asked.includes("mintToken"));
  }
});

test("P17 an agent that moves to where nobody provisions it has no more work, whatever was under way", () => {
  const waiting = () => Life.online().is({ type: "update", force: false }).failed(true);
  const lives = {
    "first provisioning": [new Life().is({ type: "provision" }), "provisioning"],
    "being confirmed": [Life.online().is({ type: "update", force: false }).finish(), "online"],
    "a retry that is due": [waiting(), "online"],
    "an update of one offline": [
      Life.online()
        .after(OFFLINE_AFTER_MS)
        .is({ type: "signoff" })
        .after(2 * OFFLINE_AFTER_MS),
      "offline",
    ],
  } as const;
  for (const [what, [life, status]] of Object.entries(lives)) {
    if (what === "an update of one offline") life.is({ type: "update", force: false });
    const { generation, step } = life.context;
    life.state = { ...life.state, context: { ...life.context, managed: false } };
    life.is({ type: "update", force: false });
    assert.equal(life.status, status, what);
    assert.equal(life.work, "idle", what);
    assert.deepEqual(
      { action: life.context.action, step: life.context.step, dueAt: life.context.dueAt },
      { action: null, step: null, dueAt: null },
      what,
    );
    assert.equal(life.context.cameFrom, null, what);
    assert.ok(life.asked.includes("settle"), `${what}: who waits for the work is told`);
    assert.ok(life.recorded.includes("agent.update.direct"), what);
    const before = life.state;
    life.is({ type: "step.done", generation, step: step ?? "wake" });
    assert.deepEqual(life.state, before, `${what}: the gateway's late answer is dropped`);
    assert.deepEqual(life.effects, [], what);
  }
});

test("P21 a direct agent is gone at once", () => {
  for (const life of [new Life(direct), Life.online(direct), Life.online(direct).is({ type: "signoff" })])
    assert.deepEqual(
      [life.is({ type: "delete", force: false }).status, life.recorded],
      ["gone", ["agent.delete.direct"]],
    );
});

test("B7 after an update that worked or failed the status is what last_seen says", () => {
  const outcomes = [(life: Life) => life.finish(), (life: Life) => life.failed()];
  for (const end of outcomes) {
    const updating = () => Life.online().is({ type: "update", force: false });
    assert.equal(end(updating()).status, "online");
    assert.equal(end(updating().after(OFFLINE_AFTER_MS + 1)).status, "offline");
    assert.equal(
      end(
        updating()
          .after(OFFLINE_AFTER_MS + 1)
          .beat(),
      ).status,
      "online",
    );
    const neverSeen = end(new Life().is({ type: "provision" }).is({ type: "update", force: false }));
    assert.equal(neverSeen.status, "provisioning");
    assert.equal(neverSeen.context.cameFrom, null);
  }
});

test("B7 one that was offline does not come online because the server has just started", () => {
  const life = Life.online()
    .after(OFFLINE_AFTER_MS + 1)
    .is({ type: "silence" });
  life.is({ type: "update", force: false });
  life.state = { ...life.state, context: { ...life.context, listeningSince: life.now } };
  assert.equal(life.finish().status, "offline");
  const online = Life.online()
    .is({ type: "update", force: false })
    .after(OFFLINE_AFTER_MS + 1);
  online.state = { ...online.state, context: { ...online.context, listeningSince: online.now } };
  assert.equal(online.finish().status, "online");
});

test("B7 the agent's answer to its configuration shows, and changes no status", () => {
  const life = Life.online().is({ type: "configured", error: "no such model" });
  assert.equal(life.status, "online");
  assert.equal(life.context.lastError, "Configuration not applied: no such model");
  assert.deepEqual(life.recorded, ["agent.config.failed"]);
  assert.deepEqual(life.is({ type: "configured", error: null }).recorded, ["agent.config.applied"]);
});

test("B8 where a heartbeat may go around the machine, the machine would change last_seen alone", () => {
  for (const status of STATUSES)
    for (const work of WORK_STATES) {
      const life = Life.online();
      life.state = { status, work, context: { ...life.context, action: "update", step: "wake" } };
      const before = life.state;
      life.after(5).beat();
      const seen = { ...before, context: { ...before.context, lastSeenAt: life.now } };
      const isNoMore = JSON.stringify(life.state) === JSON.stringify(seen) && life.recorded.length === 0;
      assert.equal(beatOnlySetsLastSeen(status, work), isNoMore, `${status}, ${work}`);
    }
});

test("the given state is left as it is, and the same event gives the same again", () => {
  const events: AgentEvent[] = [
    { type: "beat", quiet: false, at: 5 },
    { type: "update", force: true, at: 5 },
    { type: "delete", force: false, at: 5 },
  ];
  for (const event of events) {
    const { state } = Life.online();
    const copy = structuredClone(state);
    const [one, other] = [react(state, event), react(state, event)];
    assert.deepEqual(state, copy);
    assert.deepEqual(one.state, other.state);
  }
});

test("B5 the deadline for a check-in is counted from the wake-up", () => {
  const life = new Life().is({ type: "provision" }).after(77).finish();
  assert.equal(life.context.dueAt, life.now + CHECKIN_MS);
});
