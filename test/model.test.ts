import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { type AgentState, newborn, react } from "../machines/agent.ts";
import type { AgentEvent, Effect } from "../machines/model.ts";
import type { Rider } from "../src/actors/mailbox.ts";
import { ActorStand, CHECKIN_MS, moveTo, OFFLINE_AFTER_MS, type Place } from "./support/actor-stand.ts";
import { anyDeed, type Deed, eventOf } from "./support/deeds.ts";
import { seedOf } from "./support/seed.ts";

/** Looking for a smaller example of a failure ends then, and so does a run on a slow machine. */
const MOST_MS = 40_000;

type Places = Record<"managed" | "direct", Place>;

/** What the machine alone says that an agent is, and what it has left behind. */
class Model {
  state: AgentState;
  version = 1;
  readonly log: { type: string; message: string }[] = [];
  /** Whether a fresh token is on its way to the workspace. */
  sealed: boolean;

  constructor(name: string, managed: boolean, at: number) {
    const born = newborn({
      name,
      managed,
      listeningSince: at,
      offlineAfterMs: OFFLINE_AFTER_MS,
      checkinDeadlineMs: CHECKIN_MS,
    });
    this.log.push({ type: "agent.created", message: `${name} was created.` });
    const { state, effects } = react(born, { type: "provision", at });
    this.state = state;
    this.#record(effects);
    this.sealed = managed;
  }

  /** Takes the event as the machine does; returns the effects, or null if it had no use for the event. */
  take(event: AgentEvent, { fields, context }: Rider): Effect[] | null {
    const before = { ...this.state, context: { ...this.state.context, ...context } };
    const { state, effects } = react(before, event);
    const rowMoves = JSON.stringify(rowOf(before)) !== JSON.stringify(rowOf(state));
    const isIgnored =
      effects.length === 0 && !rowMoves && before.context.lastSeenAt === state.context.lastSeenAt;
    if (isIgnored) return null;
    this.state = state;
    if (rowMoves || fields) this.version += 1;
    if (effects.some(({ type }) => type === "mintToken")) this.sealed = true;
    if (state.work !== "waiting" && effects.some(({ type }) => type === "settle")) this.sealed = false;
    this.#record(effects);
    return effects;
  }

  #record(effects: readonly Effect[]): void {
    for (const effect of effects) if (effect.type === "record") this.log.push(effect.params);
  }
}

/** An effect without what the machine's library hangs onto it. */
function plain(effect: Effect) {
  return { type: effect.type, params: "params" in effect ? effect.params : undefined };
}

/** What the agent's row keeps of a state. */
function rowOf({ status, work, context }: AgentState) {
  return {
    status,
    work_state: work,
    provision_action: context.action,
    provision_step: context.step,
    provision_step_since: context.stepSince === null ? null : new Date(context.stepSince),
    provision_attempt: context.attempt,
    provision_wakes: context.wakes,
    provision_due_at: context.dueAt,
    provision_force: context.force,
    provision_came_from: context.cameFrom,
    provision_failed: context.failed,
    generation: context.generation,
    last_error: context.lastError,
  };
}

async function compare(stand: ActorStand, id: string, model: Model): Promise<void> {
  const row = await stand.row(id);
  if (model.state.status === "gone") {
    assert.equal(row, undefined);
    assert.equal(stand.registry.indexOf(id), undefined);
    return;
  }
  assert.ok(row);
  const index = stand.indexOf(id);
  assert.deepEqual(stand.registry.stateOf(index), model.state);
  assert.equal(stand.registry.columns.version[index], model.version);
  assert.deepEqual(
    {
      status: row.status,
      work_state: row.work_state,
      provision_action: row.provision_action,
      provision_step: row.provision_step,
      provision_step_since: row.provision_step_since,
      provision_attempt: row.provision_attempt,
      provision_wakes: row.provision_wakes,
      provision_due_at: row.provision_due_at?.getTime() ?? null,
      provision_force: row.provision_force,
      provision_came_from: row.provision_came_from,
      provision_failed: row.provision_failed,
      generation: row.generation,
      last_error: row.last_error,
    },
    rowOf(model.state),
  );
  assert.equal(row.version, model.version);
  assert.equal(row.last_seen_at?.getTime() ?? null, model.state.context.lastSeenAt);
  assert.equal(row.token_sealed !== null, model.sealed);
}

async function play(
  stand: ActorStand,
  places: Places,
  born: keyof Places,
  deeds: readonly Deed[],
): Promise<void> {
  const place = places[born];
  const name = `Model ${randomUUID()}`;
  const model = new Model(name, place.managed, stand.clock.now());
  model.state.context.listeningSince = stand.registry.listeningSince;
  const id = await stand.agent(place, name);
  await compare(stand, id, model);
  for (const deed of deeds) {
    stand.clock.advance(deed.afterMs);
    if (deed.type === "restart") {
      await stand.restart();
      model.state.context.listeningSince = stand.clock.now();
    } else {
      const event = eventOf(deed, model.state, stand.clock.now());
      const rider = deed.type === "update" ? moveTo(deed.to === null ? undefined : places[deed.to]) : {};
      const effects = model.take(event, rider);
      const before = stand.committals.length;
      const outcome = await stand.send(id, event, rider);
      assert.equal(outcome.ignored, effects === null);
      assert.equal(outcome.generation, model.state.context.generation);
      const told = stand.committals.slice(before);
      assert.deepEqual(
        told.map((committal) => committal.effects.map(plain)),
        effects === null ? [] : [effects.map(plain)],
      );
    }
    await compare(stand, id, model);
    if (model.state.status === "gone") break;
  }
  if (model.state.status !== "gone") assert.deepEqual(await stand.log(id), model.log);
}

for (const born of ["managed", "direct"] as const)
  test(`B3 the running actor of an agent born ${born} is what the machine says, and so is its row, across moves and restarts`, {
    timeout: 100_000,
  }, async (t) => {
    const seed = seedOf(t);
    const stand = await ActorStand.open(t);
    const managed = await stand.place(true);
    const places = { managed, direct: await stand.place(false, managed.organizationId) };
    await fc.assert(
      fc.asyncProperty(fc.array(anyDeed, { minLength: 5, maxLength: 40 }), (deeds) =>
        play(stand, places, born, deeds),
      ),
      { seed, numRuns: born === "managed" ? 100 : 40, interruptAfterTimeLimit: MOST_MS },
    );
  });
