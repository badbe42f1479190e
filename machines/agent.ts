import { createActor } from "xstate";
import {
  type AgentContext,
  type AgentEvent,
  type Effect,
  type EventOf,
  MAX_WAKES,
  model,
  type Status,
  type WorkState,
} from "./model.ts";
import { hasFailed, hasStalled, provisioning } from "./provisioning.ts";

type In<E = unknown> = { context: AgentContext; event: E };

const isSilent = ({ context, event }: In<{ at: number }>) =>
  event.at - Math.max(context.lastSeenAt ?? 0, context.listeningSince) > context.offlineAfterMs;
const isAbandoned = ({ context, event }: In<EventOf<"abandoned">>) =>
  event.at - Math.max(event.lostAt, context.lastSeenAt ?? 0) >= event.graceMs;
const wasNeverSeen = ({ context }: In) => context.lastSeenAt === null;
/** Silence from before the server listened is not held against an agent, unless it was offline already. */
const countsAsOnline = ({ context, event }: In<{ at: number }>) =>
  context.cameFrom === "offline"
    ? event.at - (context.lastSeenAt ?? 0) <= context.offlineAfterMs
    : !isSilent({ context, event });
const isUnmanaged = ({ context }: In) => !context.managed;

const record = (type: string, sentence: (name: string) => string) =>
  ({
    type: "record",
    params: ({ context }: { context: AgentContext }) => ({ type, message: sentence(context.name) }),
  }) as const;
/** A sign of life that is no heartbeat leaves nothing in the log. */
const recordBeat = model.enqueueActions(({ context: { name }, event, enqueue }) => {
  if (event.type === "beat" && event.quiet) return;
  enqueue({ type: "recordBeat", params: { type: "agent.heartbeat", message: `Heartbeat from ${name}.` } });
});

/** A sign of life that changes nothing else: only a heartbeat is for the log. */
const beSeen = [
  { guard: ({ event }: In<EventOf<"beat">>) => event.quiet, actions: "seen" },
  { actions: ["seen", recordBeat] },
] as const;

const rememberStatus = (status: Status) => model.assign({ cameFrom: status });
const forgetStatus = model.assign({ cameFrom: null });

const comeOnline = {
  target: "online",
  actions: ["seenWell", record("agent.heartbeat", (name) => `${name} is online.`)],
} as const;
const leave = {
  target: "offline",
  actions: [
    "seen",
    record("agent.heartbeat", (name) => `${name} signed off.`),
    record("agent.offline", (name) => `${name} is offline.`),
  ],
} as const;
const beUpdated = (from: Status) =>
  [
    {
      guard: isUnmanaged,
      actions: [record("agent.update.direct", (name) => `${name} was updated.`), "configure"],
    },
    {
      target: "updating",
      actions: [
        rememberStatus(from),
        record("agent.update.requested", (name) => `Update of ${name} requested.`),
      ],
    },
  ] as const;
const remove = {
  target: "gone",
  actions: record("agent.delete.direct", (name) => `${name} was deleted.`),
} as const;
const beDeleted = (from: Status) =>
  [
    { guard: isUnmanaged, ...remove },
    {
      target: "deleting",
      actions: [
        rememberStatus(from),
        record("agent.delete.requested", (name) => `Delete of ${name} requested.`),
      ],
    },
  ] as const;
/** What was given up at its gateway begins anew. What never was provisioned shows that already. */
const beRetried = (from: Status) =>
  [
    {
      guard: hasFailed("update"),
      target: "updating",
      actions: [
        rememberStatus(from),
        record("agent.update.requested", (name) => `Update of ${name} is tried again.`),
      ],
    },
    {
      guard: hasFailed("delete"),
      target: "deleting",
      actions: [
        rememberStatus(from),
        record("agent.delete.requested", (name) => `Delete of ${name} is tried again.`),
      ],
    },
  ] as const;
/** What has stalled goes on. A delete does not stall, and what never was provisioned shows that already. */
const beResumed = (from: Status) =>
  ({
    guard: hasStalled("update"),
    target: "updating",
    actions: [rememberStatus(from), record("agent.update.requested", (name) => `Update of ${name} goes on.`)],
  }) as const;
/** Back to what its last_seen says. */
const byLastSeen = (...actions: (ReturnType<typeof record> | "configure")[]) => [
  { guard: wasNeverSeen, target: "provisioning", actions: [...actions, forgetStatus] },
  { guard: countsAsOnline, target: "online", actions: [...actions, forgetStatus] },
  { target: "offline", actions: [...actions, forgetStatus] },
];

const life = model.createStateConfig({
  initial: "provisioning",
  on: {
    configured: [
      {
        guard: ({ event }) => event.error === null,
        actions: record("agent.config.applied", (name) => `${name} applied its new configuration.`),
      },
      {
        actions: [
          model.assign({
            lastError: ({ context, event }) =>
              event.type === "configured" ? `Configuration not applied: ${event.error}` : context.lastError,
          }),
          record("agent.config.failed", (name) => `${name} did not apply its new configuration.`),
        ],
      },
    ],
  },
  states: {
    provisioning: {
      on: {
        beat: comeOnline,
        signoff: leave,
        update: beUpdated("provisioning"),
        delete: beDeleted("provisioning"),
        retry: beRetried("provisioning"),
        resume: beResumed("provisioning"),
        "checkin.failed": {
          target: "offline",
          actions: [
            model.assign({ lastError: `No check-in after ${MAX_WAKES} wake-ups.` }),
            record("agent.offline", (name) => `${name} did not check in after ${MAX_WAKES} wake-ups.`),
          ],
        },
      },
    },
    online: {
      on: {
        beat: beSeen,
        signoff: leave,
        silence: {
          guard: isSilent,
          target: "offline",
          actions: record("agent.offline", (name) => `${name} went silent and is offline.`),
        },
        abandoned: {
          guard: isAbandoned,
          target: "offline",
          actions: record("agent.offline", (name) => `${name} lost its connection and is offline.`),
        },
        update: beUpdated("online"),
        delete: beDeleted("online"),
        retry: beRetried("online"),
        resume: beResumed("online"),
        "checkin.failed": {
          actions: model.assign({ lastError: `No check-in after ${MAX_WAKES} wake-ups.` }),
        },
      },
    },
    offline: {
      on: {
        beat: comeOnline,
        signoff: { actions: ["seen", recordBeat] },
        update: beUpdated("offline"),
        delete: beDeleted("offline"),
        retry: beRetried("offline"),
        resume: beResumed("offline"),
        "checkin.failed": {
          actions: model.assign({ lastError: `No check-in after ${MAX_WAKES} wake-ups.` }),
        },
      },
    },
    updating: {
      on: {
        beat: beSeen,
        signoff: { actions: ["seen", recordBeat] },
        update: { actions: record("agent.update.requested", (name) => `Update of ${name} requested.`) },
        delete: [
          { guard: isUnmanaged, ...remove },
          {
            target: "deleting",
            actions: record("agent.delete.requested", (name) => `Delete of ${name} requested.`),
          },
        ],
        "work.succeeded": byLastSeen(
          record("agent.update.direct", (name) => `${name} was updated.`),
          "configure",
        ),
        "work.failed": byLastSeen(),
      },
    },
    deleting: {
      on: {
        beat: beSeen,
        signoff: { actions: ["seen", recordBeat] },
        "work.succeeded": remove,
        "work.failed": byLastSeen(),
      },
    },
    gone: {},
  },
});

/**
 * An agent's whole life: what it is to the outside (`life`), and beside it the work at its gateway (`work`), which
 * tells the life how it ended. Pure: `transition(agentMachine, snapshot, event)` gives the next snapshot and effects.
 */
export const agentMachine = model.createMachine({
  id: "agent",
  type: "parallel",
  context: ({ input }) => input,
  states: { life, work: provisioning },
});

/** An agent's state as its row keeps it; `gone` is what its row never says. */
export interface AgentState {
  status: Status | "gone";
  work: WorkState;
  context: AgentContext;
}

/** What a new agent brings along; see AgentContext. */
export type Birth = Pick<
  AgentContext,
  "name" | "managed" | "listeningSince" | "offlineAfterMs" | "checkinDeadlineMs"
>;

/** A new agent, before its first event (`provision`): never seen, and nothing is done for it yet. */
export function newborn(birth: Birth): AgentState {
  const context: AgentContext = {
    ...birth,
    lastSeenAt: null,
    lastError: null,
    generation: 0,
    action: null,
    step: null,
    stepSince: null,
    attempt: 0,
    wakes: 0,
    dueAt: null,
    force: false,
    cameFrom: null,
    failed: null,
  };
  return { status: "provisioning", work: "idle", context };
}

/**
 * What XState's `transition` makes anew for every event, and what takes it longer than the transition itself. The machine
 * neither spawns nor invokes nor emits, so it leaves no trace in it, and one serves for all.
 */
const scope = ((): Parameters<typeof agentMachine.transition>[2] => {
  const birth = { name: "", managed: false, listeningSince: 0, offlineAfterMs: 0, checkinDeadlineMs: 0 };
  const self = createActor(agentMachine, { input: newborn(birth).context });
  const nothing = () => {};
  return {
    self,
    system: self.system,
    id: self.id,
    sessionId: self.sessionId,
    logger: nothing,
    defer: nothing,
    emit: nothing,
    stopChild: nothing,
    actionExecutor: nothing,
  };
})();

/**
 * The snapshots of states that have been met, to be given a context: XState puts one together anew for every event, which
 * takes it as long as the transition. There are as many as the life has statuses times the work has states.
 */
const snapshots = new Map<string, ReturnType<typeof agentMachine.resolveState>>();

function snapshotOf({ status, work, context }: AgentState) {
  const key = `${status}/${work}`;
  let snapshot = snapshots.get(key);
  if (!snapshot) {
    snapshot = agentMachine.resolveState({ value: { life: status, work }, context });
    snapshots.set(key, snapshot);
  }
  return { ...snapshot, context };
}

/** XState's own actions (raise, assign) are spent inside the transition; what is left is ours. */
function isEffect(action: { type: string }): action is Effect {
  return !action.type.startsWith("xstate.");
}

/** One event: the next state, and what to do about it once that state is committed. The given state is left as it is. */
export function react(state: AgentState, event: AgentEvent): { state: AgentState; effects: Effect[] } {
  const effects: Effect[] = [];
  scope.actionExecutor = (action) => {
    if (isEffect(action)) effects.push(action);
  };
  const next = agentMachine.transition(snapshotOf(state), event, scope);
  const { life: status, work } = next.value;
  return { state: { status, work, context: next.context }, effects };
}

/**
 * Whether a heartbeat changes nothing but last_seen in this state, so that it may take the short way around the machine.
 * Where every heartbeat is to be recorded, that is done there too, with the words of `recordBeat`.
 */
export function beatOnlySetsLastSeen(status: Status | "gone", work: WorkState): boolean {
  return (status === "online" || status === "updating" || status === "deleting") && work !== "confirming";
}
