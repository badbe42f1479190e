import assert from "node:assert/strict";
import { test } from "node:test";
import { BACKOFF } from "../machines/backoff.ts";
import {
  type Failure,
  type LinkContext,
  type LinkEvent,
  type LinkLife,
  type LinkStateName,
  newLink,
  PAIRING_MS,
  RESTART_MS,
  reactLink,
} from "../machines/gateway-link.ts";

const AT = 1_000_000;
const STATES: LinkStateName[] = [
  "connecting",
  "ready",
  "restarting",
  "backing_off",
  "pairing_required",
  "refused",
  "closed",
];

const failure = (kind: Failure["kind"], fields: Partial<Failure> = {}): Failure => ({
  kind,
  error: `it is ${kind}`,
  hint: null,
  pairingRequestId: null,
  retryAfterMs: 0,
  ...fields,
});

/** A link that a test leads through its life. */
class Led {
  life: LinkLife = newLink();
  effects: string[] = [];
  at = AT;

  get state(): LinkStateName {
    return this.life.state;
  }

  get context(): LinkContext {
    return this.life.context;
  }

  /** Milliseconds until the next try. */
  get pause(): number | null {
    return this.context.dueAt === null ? null : this.context.dueAt - this.at;
  }

  take(event: LinkEvent): this {
    const { life, effects } = reactLink(this.life, event);
    this.life = life;
    this.effects = effects.map(({ type }) => type);
    return this;
  }

  is(type: "ready" | "announced" | "due" | "reconnect" | "close"): this {
    return this.take({ type, at: this.at });
  }

  failed(kind: Failure["kind"], fields: Partial<Failure> = {}, jitter = 1): this {
    return this.take({ type: "failed", failure: failure(kind, fields), jitter, at: this.at });
  }

  after(ms: number): this {
    this.at += ms;
    return this;
  }

  /** Waits for the next try and begins it. */
  tryAgain(): this {
    assert.notEqual(this.pause, null, `nothing is due in ${this.state}`);
    this.after(this.pause ?? 0).is("due");
    assert.deepEqual([this.state, this.effects], ["connecting", ["dial"]]);
    return this;
  }
}

const ledTo: Record<LinkStateName, () => Led> = {
  connecting: () => new Led(),
  ready: () => new Led().is("ready"),
  restarting: () => new Led().is("ready").failed("restarting"),
  backing_off: () => new Led().failed("unreachable"),
  pairing_required: () => new Led().failed("pairing", { pairingRequestId: "r1" }),
  refused: () => new Led().failed("refused"),
  closed: () => new Led().is("close"),
};

test("every state can be reached", () => {
  for (const state of STATES) assert.equal(ledTo[state]().state, state);
});

test("a try, and an open link, fail into what the failure says, and hang up", () => {
  const into = [
    ["restarting", "restarting"],
    ["unreachable", "backing_off"],
    ["pairing", "pairing_required"],
    ["refused", "refused"],
  ] as const;
  for (const from of ["connecting", "ready"] as const)
    for (const [kind, state] of into) {
      const led = ledTo[from]().failed(kind, { hint: "do this" });
      assert.deepEqual([led.state, led.effects], [state, ["hangUp"]], `${from} ${kind}`);
      assert.deepEqual([led.context.lastError, led.context.hint], [`it is ${kind}`, "do this"]);
      assert.equal(led.context.failures, kind === "restarting" ? 0 : 1);
    }
});

test("ready forgets what went wrong before", () => {
  const led = new Led().failed("unreachable").tryAgain().failed("pairing", { pairingRequestId: "r1" });
  assert.deepEqual(led.tryAgain().is("ready").life, { state: "ready", context: newLink().context });
});

test("what could not be reached is tried at growing, jittered pauses up to the greatest", () => {
  const led = new Led();
  for (const [jitter, pause] of [
    [1, 1_000],
    [0.5, 1_000],
    [0, 0],
    [1, 8_000],
  ] as const) {
    assert.equal(led.failed("unreachable", {}, jitter).pause, pause);
    led.tryAgain();
  }
  for (let tries = 0; tries < 2_000; tries++) led.failed("unreachable").tryAgain();
  assert.equal(led.failed("unreachable").pause, BACKOFF.greatestMs);
});

test("a gateway that says when to come back is not asked sooner", () => {
  assert.equal(new Led().failed("unreachable", { retryAfterMs: 300_000 }, 0).pause, 300_000);
  const starting = new Led().failed("restarting", { retryAfterMs: 500 }, 0);
  assert.deepEqual([starting.state, starting.pause], ["restarting", 750]);
});

test("a restart is looked at again soon for as long as it may take, and then backs off", () => {
  const led = new Led().is("ready").failed("restarting", {}, 0);
  assert.equal(led.pause, 250);
  const until = led.at + RESTART_MS;
  let looks = 0;
  for (; led.state === "restarting"; looks++) led.tryAgain().failed("unreachable");
  assert.equal(led.state, "backing_off");
  assert.ok(led.at >= until && led.at < until + 2_000, `it gave up after ${led.at - until + RESTART_MS} ms`);
  assert.ok(looks >= RESTART_MS / 1_000, `${looks} looks`);
  assert.equal(led.pause, BACKOFF.firstMs, "the looks were no failures");
});

test("a gateway that starts for ever is asked ever more rarely, until it is ready", () => {
  const led = new Led().failed("restarting");
  while (led.state === "restarting") led.tryAgain().failed("restarting");
  for (let tries = 0; tries < 10; tries++) {
    assert.equal(led.state, "backing_off");
    led.tryAgain().failed("restarting");
  }
  assert.equal(led.pause, BACKOFF.greatestMs);
  assert.equal(led.tryAgain().is("ready").failed("restarting").state, "restarting");
});

test("an announced restart makes whatever ends the connection a part of it", () => {
  const led = new Led().is("ready").is("announced");
  assert.deepEqual([led.state, led.effects], ["ready", []]);
  assert.equal(led.failed("unreachable").state, "restarting");
  assert.equal(led.tryAgain().failed("refused").state, "refused");
});

test("an announcement that nothing followed is forgotten", () => {
  const led = new Led()
    .is("ready")
    .is("announced")
    .after(RESTART_MS + 1);
  assert.equal(led.failed("unreachable").state, "backing_off");
  const late = new Led()
    .is("ready")
    .is("announced")
    .after(RESTART_MS * 2);
  assert.equal(late.failed("restarting").tryAgain().failed("unreachable").state, "restarting");
});

test("pairing is looked at every minute, and its request stays known meanwhile", () => {
  const led = new Led().failed("pairing", { pairingRequestId: "r1" });
  for (let looks = 0; looks < 3; looks++) {
    assert.deepEqual([led.pause, led.context.pairingRequestId], [PAIRING_MS, "r1"]);
    led.tryAgain();
    assert.equal(led.context.pairingRequestId, "r1");
    led.failed("pairing", { pairingRequestId: "r1" });
  }
  assert.equal(led.tryAgain().failed("unreachable").context.pairingRequestId, null);
});

test("a refusal is not tried again by itself", () => {
  const led = new Led().failed("refused");
  assert.equal(led.pause, null);
  assert.deepEqual([led.after(10 * 86_400_000).is("due").state, led.effects], ["refused", []]);
});

test("nothing is tried before it is due", () => {
  for (const state of ["restarting", "backing_off", "pairing_required"] as const) {
    const led = ledTo[state]();
    const due = led.pause ?? 0;
    assert.deepEqual([led.after(due - 1).is("due").state, led.effects], [state, []]);
    assert.deepEqual([led.after(1).is("due").state, led.effects], ["connecting", ["dial"]]);
  }
});

test("asking for a new connection dials at once, in every state but closed", () => {
  for (const state of STATES) {
    const led = ledTo[state]().is("reconnect");
    if (state === "closed") assert.deepEqual([led.state, led.effects], ["closed", []]);
    else {
      assert.deepEqual([led.state, led.effects, led.pause], ["connecting", ["dial"], null], state);
      assert.equal(led.failed("unreachable").pause, BACKOFF.firstMs, "the pauses begin anew");
    }
  }
});

test("close hangs up and is the end", () => {
  for (const state of STATES) {
    const led = ledTo[state]();
    assert.equal(led.is("close").state, "closed");
    assert.deepEqual(led.effects, state === "closed" ? [] : ["hangUp"]);
    const end = led.life;
    for (const type of ["ready", "announced", "due", "reconnect", "close"] as const)
      assert.deepEqual([led.is(type).life, led.effects], [end, []]);
    assert.deepEqual([led.failed("unreachable").life, led.effects], [end, []]);
  }
});

test("what comes late changes nothing", () => {
  for (const state of ["restarting", "backing_off", "pairing_required", "refused"] as const) {
    const led = ledTo[state]();
    const before = led.life;
    for (const type of ["ready", "announced"] as const) assert.deepEqual(led.is(type).life, before, state);
    assert.deepEqual([led.failed("refused").life, led.effects], [before, []]);
  }
});

test("a link that was closed while it waited waits for nothing more", () => {
  const failure = {
    kind: "unreachable",
    error: "away",
    hint: null,
    pairingRequestId: null,
    retryAfterMs: 0,
  } as const;
  const waiting = reactLink(newLink(), { type: "failed", failure, jitter: 1, at: 1_000 }).life;
  assert.notEqual(waiting.context.dueAt, null);
  assert.equal(reactLink(waiting, { type: "close", at: 2_000 }).life.context.dueAt, null);
});
