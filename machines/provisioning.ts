import { retryDelay } from "./backoff.ts";
import {
  type Action,
  type AgentContext,
  type AgentEvent,
  type EventOf,
  MAX_FORCED_TRIES,
  MAX_TRIES,
  MAX_WAKES,
  model,
  STEPS,
  type Step,
} from "./model.ts";

type Situation<E> = { context: AgentContext; event: E };
type Answer = EventOf<"step.done"> | EventOf<"step.failed">;

const TITLE = { provision: "Provisioning", update: "Update", delete: "Delete" } as const satisfies Record<
  Action,
  string
>;

function following({ action, step }: AgentContext): Step | null {
  if (action === null || step === null) return null;
  const steps: readonly Step[] = STEPS[action];
  return steps[steps.indexOf(step) + 1] ?? null;
}

/** Late answers, of older work or of a step that is over, are dropped. */
const isCurrent = ({ context, event }: Situation<Answer>) =>
  event.generation === context.generation && event.step === context.step;
const isCurrentAndNotLast = (situation: Situation<Answer>) =>
  isCurrent(situation) && following(situation.context) !== null;
const isCurrentAndRewake = (situation: Situation<Answer>) =>
  isCurrent(situation) && situation.context.wakes > 0;
/** It came while it was still being woken. */
const isCheckedIn = (situation: Situation<Answer>) => {
  const { lastSeenAt, stepSince } = situation.context;
  return isCurrent(situation) && lastSeenAt !== null && stepSince !== null && lastSeenAt > stepSince;
};
const isCheckedInRewake = (situation: Situation<Answer>) =>
  isCheckedIn(situation) && situation.context.wakes > 0;
const isCurrentDelete = (situation: Situation<Answer>) =>
  isCurrent(situation) && situation.context.action === "delete";
const canRetry = (situation: Situation<EventOf<"step.failed">>) => {
  const { action, force, attempt } = situation.context;
  const most = action === "delete" && force ? MAX_FORCED_TRIES : MAX_TRIES;
  return isCurrent(situation) && situation.event.transient && attempt + 1 < most;
};
/** Whoever asked for a delete was told that the agent stays: that must not change behind their back. */
const canGoOnLater = (situation: Situation<EventOf<"step.failed">>) =>
  isCurrent(situation) && situation.event.transient && situation.context.action !== "delete";
const isForcedDelete = (situation: Situation<Answer>) =>
  isCurrentDelete(situation) && situation.context.force;
const isForcedDeleteAndNotLast = (situation: Situation<Answer>) =>
  isForcedDelete(situation) && following(situation.context) !== null;
const isDue = ({ context, event }: Situation<EventOf<"due">>) =>
  context.dueAt !== null && event.at >= context.dueAt;
const isDueForAnotherWake = (situation: Situation<EventOf<"due">>) =>
  isDue(situation) && situation.context.wakes < MAX_WAKES;

/** Whether this is what was given up, at a gateway that it still has. */
export const hasFailed =
  (action: Action) =>
  ({ context }: { context: AgentContext }) =>
    context.managed && context.failed === action;

const isStalled = ({ context }: { context: AgentContext }) =>
  context.action !== null && context.failed === context.action;
/** Whether this was given up only until its gateway is of help again: it goes on where it stood. */
export const hasStalled =
  (action: Action) =>
  ({ context }: { context: AgentContext }) =>
    hasFailed(action)({ context }) && isStalled({ context });

/** What a finished step leaves in the activity log. The end of an update or a delete is told by the status. */
function stepRecord({ name, action, step }: AgentContext) {
  if (step === "wake") return { type: "agent.wakeup.sent", message: `Wake-up sent to ${name}.` };
  if (action !== "provision") return null;
  if (step === "session") return { type: "agent.session.created", message: `Session ready for ${name}.` };
  if (step === "files") return { type: "agent.provision", message: `${name} was provisioned.` };
  return null;
}

function failureRecord({ name, action, step }: AgentContext, error: string) {
  const type =
    action === "provision" && step === "session" ? "agent.session.failed" : `agent.${action}.failed`;
  return { type, message: `${TITLE[action ?? "provision"]} of ${name} failed: ${error}` };
}

const recordRemarks = model.enqueueActions(({ event, enqueue }) => {
  if (event.type !== "step.done") return;
  for (const message of event.remarks ?? [])
    enqueue({ type: "record", params: { type: "agent.gateway.remark", message } });
});

const recordStep = model.enqueueActions(({ context, enqueue }) => {
  const params = stepRecord(context);
  if (params) enqueue({ type: "record", params });
  enqueue(recordRemarks);
});

const recordFailure = model.enqueueActions(({ context, event, enqueue }) => {
  if (event.type === "step.failed") enqueue({ type: "record", params: failureRecord(context, event.error) });
});

const begin = (action: Action) =>
  model.assign(({ context, event }) => ({
    generation: context.generation + 1,
    action,
    step: STEPS[action][0],
    stepSince: event.at,
    attempt: 0,
    wakes: 0,
    dueAt: null,
    lastError: null,
    failed: null,
    force: (event.type === "update" || event.type === "delete") && event.force,
  }));

const goOn = model.assign({
  step: ({ context }) => following(context),
  stepSince: ({ event }) => event.at,
  attempt: 0,
  dueAt: null,
  lastError: null,
});
const beginStep = model.assign({ stepSince: ({ event }) => event.at, dueAt: null });
const watchForCheckin = model.assign({
  wakes: ({ context }) => context.wakes + 1,
  attempt: 0,
  lastError: null,
  dueAt: ({ context, event }) => event.at + context.checkinDeadlineMs,
});
const backOff = model.assign(({ context, event }) => {
  if (event.type !== "step.failed") return {};
  const failures = context.attempt + 1;
  return {
    attempt: failures,
    dueAt: event.at + retryDelay(failures, event.jitter, event.retryAfterMs),
    lastError: event.error,
  };
});
const endWork = model.assign({
  action: null,
  step: null,
  stepSince: null,
  attempt: 0,
  wakes: 0,
  dueAt: null,
  force: false,
});

/** It is kept, beside the reason, so that it can be gone on with. */
const giveUp = model.assign({ failed: ({ context }) => context.action, dueAt: null });
const keepReason = model.assign({
  lastError: ({ event }) => (event.type === "step.failed" ? event.error : null),
});
const goOnWhereItStood = model.assign({
  stepSince: ({ event }) => event.at,
  attempt: 0,
  lastError: null,
  failed: null,
});

/** New work replaces what is under way, except that only a forced delete replaces a delete. */
const mayBegin = ({ context }: { context: AgentContext }) => context.managed && context.action !== "delete";
/** It has moved to where nobody provisions it: what was under way at its old gateway is over. */
const hasLeftItsGateway = ({ context }: { context: AgentContext }) =>
  !context.managed && context.action !== null && context.action !== "delete";
const mayDelete = ({ context, event }: Situation<EventOf<"delete">>) =>
  context.managed && (context.action !== "delete" || (event.force && !context.force));

const succeed = model.raise(({ event }) => ({ type: "work.succeeded", at: event.at }));
const fail = model.raise(({ event }) => ({
  type: "work.failed",
  at: event.at,
  error: event.type === "step.failed" ? event.error : "",
}));
const settled = { type: "settle", params: { error: null } } as const;
const settledWithReason = {
  type: "settle",
  params: ({ event }: { event: AgentEvent }) => ({
    error: event.type === "step.failed" ? event.error : null,
  }),
} as const;
const finishDelete = { target: "idle", actions: [recordRemarks, succeed, settled] } as const;
const nextStep = { actions: [recordStep, goOn, "runStep"] } as const;

/** The work at the gateway as a saga: one step after another, each repeated until it is done or given up. */
export const provisioning = model.createStateConfig({
  initial: "idle",
  on: {
    provision: { guard: mayBegin, target: ".running", actions: [begin("provision"), "mintToken", "runStep"] },
    update: [
      { guard: mayBegin, target: ".running", actions: [begin("update"), "mintToken", "runStep"] },
      {
        guard: hasLeftItsGateway,
        target: ".idle",
        actions: ["clearError", model.assign({ failed: null }), succeed, settled],
      },
    ],
    delete: { guard: mayDelete, target: ".running", actions: [begin("delete"), "runStep"] },
  },
  states: {
    idle: { entry: endWork },
    running: {
      on: {
        "step.done": [
          { guard: isCurrentAndNotLast, ...nextStep },
          { guard: isCurrentDelete, ...finishDelete },
          { guard: isCheckedInRewake, target: "idle", actions: [recordStep, "clearError"] },
          { guard: isCheckedIn, target: "idle", actions: [recordStep, "clearError", succeed, settled] },
          { guard: isCurrentAndRewake, target: "confirming", actions: [recordStep, watchForCheckin] },
          {
            guard: isCurrent,
            target: "confirming",
            actions: [recordStep, watchForCheckin, succeed, settled],
          },
        ],
        "step.failed": [
          { guard: canRetry, target: "waiting", actions: backOff },
          { guard: isForcedDeleteAndNotLast, ...nextStep },
          { guard: isForcedDelete, ...finishDelete },
          { guard: isCurrentAndRewake, target: "confirming", actions: watchForCheckin },
          {
            guard: canGoOnLater,
            target: "waiting",
            actions: [recordFailure, giveUp, keepReason, fail, settledWithReason],
          },
          {
            guard: isCurrent,
            target: "failed",
            actions: [recordFailure, giveUp, keepReason, fail, settledWithReason],
          },
        ],
      },
    },
    waiting: {
      on: {
        due: { guard: isDue, target: "running", actions: [beginStep, "runStep"] },
        retry: [
          { guard: isStalled, target: "running", actions: [goOnWhereItStood, "runStep"] },
          { target: "running", actions: [beginStep, "runStep"] },
        ],
        resume: { guard: isStalled, target: "running", actions: [goOnWhereItStood, "runStep"] },
      },
    },
    confirming: {
      on: {
        beat: "idle",
        signoff: "idle",
        due: [
          { guard: isDueForAnotherWake, target: "running", actions: [beginStep, "runStep"] },
          {
            guard: isDue,
            target: "failed",
            actions: [giveUp, model.raise(({ event }) => ({ type: "checkin.failed", at: event.at }))],
          },
        ],
      },
    },
    failed: {
      entry: endWork,
      on: {
        retry: [
          { guard: hasFailed("delete"), target: "running", actions: [begin("delete"), "runStep"] },
          {
            guard: hasFailed("update"),
            target: "running",
            actions: [begin("update"), "mintToken", "runStep"],
          },
          {
            guard: hasFailed("provision"),
            target: "running",
            actions: [begin("provision"), "mintToken", "runStep"],
          },
        ],
      },
    },
  },
});
