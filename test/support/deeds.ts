import fc from "fast-check";
import type { AgentState } from "../../machines/agent.ts";
import { type AgentEvent, STEPS, type Step } from "../../machines/model.ts";

/** Something that a random sequence does to an agent, some time after what came before. */
export type Deed = { afterMs: number } & (
  | { type: "beat"; quiet: boolean }
  | { type: "signoff" }
  | { type: "silence" }
  | { type: "abandoned"; lostForMs: number; graceMs: number }
  | { type: "provision" }
  /** `to`: it moves, to where it is provisioned or to where it brings itself. */
  | { type: "update"; force: boolean; to: "managed" | "direct" | null }
  | { type: "delete"; force: boolean }
  /** The gateway's answer to the step under way, or one that comes too late. */
  | { type: "done"; late: boolean }
  | { type: "failed"; late: boolean; transient: boolean; retryAfterMs: number; jitter: number }
  | { type: "due" }
  | { type: "retry" }
  | { type: "resume" }
  | { type: "configured"; error: string | null }
  | { type: "restart" }
);

const afterMs = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 5_000 }) },
  { weight: 3, arbitrary: fc.constant(31_000) },
  { weight: 2, arbitrary: fc.integer({ min: 590_000, max: 610_000 }) },
  { weight: 1, arbitrary: fc.constant(1_300_001) },
);
const sometimesLate = fc.constantFrom(false, false, false, true);
const jitter = fc.double({ min: 0, max: 1, noNaN: true });

/** Anything but a restart. */
export const anyEvent = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant("beat" as const), afterMs, quiet: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("signoff" as const), afterMs }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("silence" as const), afterMs }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("abandoned" as const),
      afterMs,
      lostForMs: fc.integer({ min: 0, max: 20_000 }),
      graceMs: fc.constantFrom(1, 10_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("configured" as const),
      afterMs,
      error: fc.constantFrom(null, "no such model"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("provision" as const), afterMs }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("update" as const),
      afterMs,
      force: fc.boolean(),
      to: fc.constantFrom(null, null, null, "managed" as const, "direct" as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("delete" as const), afterMs, force: fc.boolean() }) },
  { weight: 12, arbitrary: fc.record({ type: fc.constant("done" as const), afterMs, late: sometimesLate }) },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant("failed" as const),
      afterMs,
      late: sometimesLate,
      transient: fc.constantFrom(true, true, false),
      retryAfterMs: fc.constantFrom(0, 5_000),
      jitter,
    }),
  },
  { weight: 6, arbitrary: fc.record({ type: fc.constant("due" as const), afterMs }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("retry" as const), afterMs }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("resume" as const), afterMs }) },
);
export const anyDeed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 14, arbitrary: anyEvent },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("restart" as const), afterMs }) },
);

/** The event that the deed is for an agent in this state. */
export function eventOf(
  deed: Exclude<Deed, { type: "restart" }>,
  { context }: AgentState,
  at: number,
): AgentEvent {
  switch (deed.type) {
    case "beat":
      return { type: "beat", quiet: deed.quiet, at };
    case "abandoned":
      return { type: "abandoned", lostAt: at - deed.lostForMs, graceMs: deed.graceMs, at };
    case "update":
    case "delete":
      return { type: deed.type, force: deed.force, at };
    case "done":
      return { type: "step.done", ...answered(context, deed.late), at };
    case "failed": {
      const { transient, retryAfterMs, jitter } = deed;
      return {
        type: "step.failed",
        ...answered(context, deed.late),
        error: "the gateway said no",
        transient,
        retryAfterMs,
        jitter,
        at,
      };
    }
    case "configured":
      return { type: "configured", error: deed.error, at };
    default:
      return { type: deed.type, at };
  }
}

function answered(
  { generation, step }: AgentState["context"],
  late: boolean,
): { generation: number; step: Step } {
  const asked: Step = step ?? STEPS.provision[0];
  return { generation: late ? generation - 1 : generation, step: asked };
}
