import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { transition } from "xstate";
import { type AgentState, agentMachine, newborn, react } from "../machines/agent.ts";
import { anyEvent, eventOf } from "./support/deeds.ts";
import { seedOf } from "./support/seed.ts";

const birth = { listeningSince: 0, offlineAfterMs: 600_000, checkinDeadlineMs: 30_000 };

/** The same event through XState's own pure function. */
function reference(state: AgentState, event: Parameters<typeof react>[1]) {
  const value = { life: state.status, work: state.work };
  const snapshot = agentMachine.resolveState({ value, context: state.context });
  const [next, actions] = transition(agentMachine, snapshot, event);
  return {
    status: next.value.life,
    work: next.value.work,
    context: next.context,
    effects: actions
      .map(({ type, params }) => ({ type, params }))
      .filter(({ type }) => !/^xstate\./.test(type)),
  };
}

test("an event comes to the same with the scope that serves all as with XState's own for each", (t) => {
  const property = fc.property(
    fc.boolean(),
    fc.array(anyEvent, { minLength: 1, maxLength: 30 }),
    (managed, deeds) => {
      let state = newborn({ name: "Ada", managed, ...birth });
      let now = Date.parse("2030-01-01T00:00:00.000Z");
      for (const deed of deeds) {
        if (state.status === "gone") break;
        now += deed.afterMs;
        const event = eventOf(deed, state, now);
        const expected = reference(state, event);
        const { state: next, effects } = react(state, event);
        const told = effects.map((effect) => ({
          type: effect.type,
          params: "params" in effect ? effect.params : undefined,
        }));
        assert.deepEqual({ ...next, effects: told }, expected);
        state = next;
      }
    },
  );
  fc.assert(property, { seed: seedOf(t), numRuns: 300 });
});
