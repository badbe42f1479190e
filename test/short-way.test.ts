import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { heartbeat } from "../src/actors/heartbeats.ts";
import { ActorStand, moveTo, type Place } from "./support/actor-stand.ts";
import { anyDeed, type Deed, eventOf } from "./support/deeds.ts";
import { seedOf } from "./support/seed.ts";

interface Burst {
  /** They come one upon the other, none waiting for the one before to be committed. */
  deeds: Deed[];
  /** Heartbeats that come when the first of them is committed and the others are not yet. */
  beatsBetween: number;
}

const anyBurst: fc.Arbitrary<Burst> = fc.record({
  deeds: fc.array(anyDeed, { minLength: 1, maxLength: 6 }),
  beatsBetween: fc.constantFrom(0, 0, 1, 2),
});

/** Where a pair begins: just made, online, or just updated, which waits for a sign of life. */
const BEGINNINGS = ["made", "online", "updated"] as const;

/** Whether beats of this agent may go around the machine. */
interface Twin {
  id: string;
  name: string;
  short: boolean;
}

/** Looking for a smaller example of a failure ends then, and so does a run on a slow machine. */
const MOST_MS = 40_000;

/** How many heartbeats went around a machine. */
let shortened = 0;

/** Does it without waiting for what comes of it. */
function act(stand: ActorStand, { id, short }: Twin, deed: Deed): Promise<unknown> | undefined {
  const index = stand.registry.indexOf(id);
  if (index === undefined || deed.type === "restart") return undefined;
  if (deed.type === "beat" && short) {
    const beat = stand.beat(id, deed.quiet);
    if (beat.short) shortened += 1;
    return beat.done;
  }
  const event = eventOf(deed, stand.registry.stateOf(index), stand.clock.now());
  return stand.send(id, event, deed.type === "update" ? moveTo(undefined) : {});
}

/** All that is known of an agent, in memory and in Postgres, under a name that is not its own. */
async function all(stand: ActorStand, { id, name }: Twin) {
  const index = stand.registry.indexOf(id);
  if (index === undefined) return { row: await stand.row(id) };
  const { context, ...state } = stand.registry.stateOf(index);
  const row = await stand.row(id);
  return {
    ...state,
    context: { ...context, name: "twin" },
    version: stand.registry.columns.version[index],
    row: row && {
      status: row.status,
      work: row.work_state,
      action: row.provision_action,
      step: row.provision_step,
      dueAt: row.provision_due_at,
      lastError: row.last_error,
      generation: row.generation,
      version: row.version,
      lastSeen: row.last_seen_at,
    },
    log: logOf(stand, await stand.log(id), name),
  };
}

/** Without the events of heartbeats that change nothing: those that wait for a machine become one, the others do not. */
function logOf(stand: ActorStand, entries: { type: string; message: string }[], name: string): string[] {
  const lines = entries.map(({ type, message }) => `${type} ${message.replaceAll(name, "twin")}`);
  return stand.recordEveryBeat ? lines.filter((line) => !line.endsWith("Heartbeat from twin.")) : lines;
}

async function play(stand: ActorStand, pair: readonly Twin[], bursts: readonly Burst[]): Promise<void> {
  for (const { deeds, beatsBetween } of bursts) {
    const both = (deed: Deed) => pair.map((twin) => act(stand, twin, deed));
    const acts = deeds.flatMap((deed) => {
      stand.clock.advance(deed.afterMs);
      return both(deed);
    });
    // One that was deleted in the middle of a burst refuses what comes after.
    await Promise.allSettled(acts.slice(0, pair.length));
    for (let count = 0; count < beatsBetween; count++) {
      stand.clock.advance(1);
      acts.push(...both({ type: "beat", quiet: false, afterMs: 0 }));
    }
    await Promise.allSettled(acts);
    await stand.flushed();
    if (deeds.some(({ type }) => type === "restart")) await stand.restart();
    const [around, through] = await Promise.all(pair.map((twin) => all(stand, twin)));
    assert.deepEqual(around, through);
  }
}

async function begin(
  stand: ActorStand,
  place: Place,
  beginning: (typeof BEGINNINGS)[number],
  short: boolean,
) {
  const name = `Twin ${randomUUID()}`;
  const id = await stand.agent(place, name);
  const finish = async () => {
    for (let { work, context } = stand.registry.stateOf(stand.indexOf(id)); work === "running"; ) {
      const { generation, step } = context;
      if (step === null) throw new Error("nothing is asked of the gateway");
      await stand.send(id, { type: "step.done", generation, step, at: stand.clock.now() });
      ({ work, context } = stand.registry.stateOf(stand.indexOf(id)));
    }
  };
  const at = stand.clock.now();
  if (beginning !== "made") {
    await finish();
    await stand.send(id, { type: "beat", quiet: false, at });
  }
  if (beginning === "updated") {
    await stand.send(id, { type: "update", force: false, at }, moveTo(undefined));
    await finish();
  }
  return { id, name, short };
}

for (const recordEveryBeat of [false, true])
  test(`P3 P20 heartbeats around the machine leave what heartbeats through it leave, also in the middle of its commits (${recordEveryBeat ? "each" : "none"} leaves an event)`, {
    timeout: 100_000,
  }, async (t) => {
    const seed = seedOf(t);
    const stand = await ActorStand.open(t, { recordEveryBeat });
    const places = [await stand.place(true), await stand.place(false)];
    shortened = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...places),
        fc.constantFrom(...BEGINNINGS),
        fc.array(anyBurst, { minLength: 3, maxLength: 12 }),
        async (place, beginning, bursts) => {
          const twins = [
            await begin(stand, place, beginning, true),
            await begin(stand, place, beginning, false),
          ];
          await play(stand, twins, bursts);
        },
      ),
      { seed, numRuns: 35, interruptAfterTimeLimit: MOST_MS },
    );
    assert.ok(shortened > 50, `only ${shortened} heartbeats took the short way`);
  });

test("P3 last_seen in Postgres never goes back, when a beat around the machine and an event are committed together", async (t) => {
  const stand = await ActorStand.open(t);
  const place = await stand.place(false);
  const ids = await Promise.all(Array.from({ length: 50 }, () => stand.agent(place)));
  await Promise.all(ids.map((id) => stand.beat(id).done));
  for (let round = 0; round < 20; round++) {
    const earlier = stand.clock.now();
    for (const id of ids) assert.equal(stand.beat(id).short, true);
    stand.clock.advance(1_000);
    const at = stand.clock.now();
    await Promise.all(ids.map((id) => stand.send(id, { type: "signoff", at })));
    await stand.flushed();
    for (const id of ids) {
      const row = await stand.row(id);
      assert.equal(row?.last_seen_at?.getTime(), at, `written as of ${at - earlier} ms before`);
    }
    await Promise.all(ids.map((id) => stand.send(id, { type: "beat", quiet: false, at })));
  }
});

test("B8 commits of heartbeats, reports and transitions never lock one another out", async (t) => {
  const stand = await ActorStand.open(t);
  const place = await stand.place(false);
  const ids = await Promise.all(Array.from({ length: 300 }, () => stand.agent(place)));
  await Promise.all(ids.map((id) => stand.beat(id).done));
  for (let round = 0; round < 8; round++) {
    for (const id of ids) stand.beat(id);
    for (const id of ids.toReversed()) stand.beats.report(stand.indexOf(id), { round });
    stand.clock.advance(1_000);
    const at = stand.clock.now();
    const leaving = [...ids.slice(150).toReversed(), ...ids.slice(0, 150)];
    await Promise.all(leaving.map((id) => stand.send(id, { type: "signoff", at })));
    await stand.flushed();
    await Promise.all(ids.map((id) => stand.send(id, { type: "beat", quiet: false, at })));
  }
  // Every connection hands in its figures.
  await Promise.all(
    Array.from({ length: 12 }, () => stand.database`select pg_stat_force_next_flush(), pg_sleep(0.05)`),
  );
  const [figures] = await stand.database`
    select deadlocks from pg_stat_database where datname = current_database()`;
  assert.equal(figures?.deadlocks, 0);
});

test("B9 when a heartbeat is answered, what it reported is in Postgres, whichever way it took", async (t) => {
  const stand = await ActorStand.open(t);
  const id = await stand.agent(await stand.place(false));
  const reports = [
    { status: "online", activity: "busy" },
    { activity: "idle", stats: { load: 1 } },
    { status: "offline", stats: { load: 2 } },
    { activity: "blocked" },
  ] as const;
  for (const report of reports) {
    await heartbeat(stand, stand.indexOf(id), report, stand.clock.now());
    assert.deepEqual((await stand.row(id))?.reported, report);
  }
});
