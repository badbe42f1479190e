import { assign, setup } from "xstate";
import type { Status } from "./statuses.ts";

export { STATUSES, type Status } from "./statuses.ts";

/** What is being done at the gateway for an agent. */
export const ACTIONS = ["provision", "update", "delete"] as const;
export type Action = (typeof ACTIONS)[number];

/** The steps of each action, in order. Every one can be repeated without a second effect. */
export const STEPS = {
  provision: ["session", "roster", "files", "wake"],
  update: ["session", "roster", "files", "wake"],
  delete: ["unroster", "unsession"],
} as const satisfies Record<Action, readonly string[]>;
export type Step = (typeof STEPS)[Action][number];

/**
 * Where the work at the gateway stands: `running` a step, `waiting` until a retry is due or, where none is, until its
 * gateway can be reached again, `confirming` that a woken agent checks in, `failed` for good, or `idle`.
 */
export const WORK_STATES = ["idle", "running", "waiting", "confirming", "failed"] as const;
export type WorkState = (typeof WORK_STATES)[number];

/** Tries at one step, before the work is given up for now. */
export const MAX_TRIES = 6;
/** Tries at one step of a forced delete: whoever forces it has seen that the gateway is of no help. */
export const MAX_FORCED_TRIES = 2;
/** Wake-ups sent to an agent that does not check in, the first included. */
export const MAX_WAKES = 3;

/** Everything about one agent that its life depends on. Times are milliseconds since the epoch. */
export interface AgentContext {
  name: string;
  /** False for agents that bring themselves: no gateway provisions or wakes them. */
  managed: boolean;
  /** Null when it was never seen. */
  lastSeenAt: number | null;
  /** Since when silence counts: the server was not there to hear anything before. */
  listeningSince: number;
  /** Silence longer than this means offline. */
  offlineAfterMs: number;
  checkinDeadlineMs: number;
  lastError: string | null;
  /** One more for every piece of work, so that late answers of older work are told apart. */
  generation: number;
  action: Action | null;
  step: Step | null;
  /** Since when the step is under way. */
  stepSince: number | null;
  /** Failed tries at this step so far. */
  attempt: number;
  /** Wake-ups sent in this piece of work. */
  wakes: number;
  /** When the retry or the next wake-up is due. */
  dueAt: number | null;
  /** `update`: rewrite the first-run file too. `delete`: go on although the gateway refuses. */
  force: boolean;
  /** The status before `updating` or `deleting`. */
  cameFrom: Status | null;
  /** What was given up last, and can be gone on with; null once it is. While it is given up for now only, `action` stays. */
  failed: Action | null;
}

export interface At {
  /** When it happened, milliseconds since the epoch. */
  at: number;
}

/** What can happen to an agent. */
export type AgentEvent =
  /** A heartbeat, or another authenticated sign of life (`quiet`: it leaves no activity event). */
  | ({ type: "beat"; quiet: boolean } & At)
  /** The agent says that it leaves. */
  | ({ type: "signoff" } & At)
  /** The sweep found that the deadline may have passed. */
  | ({ type: "silence" } & At)
  /** The agent's socket has been lost for the configured grace. */
  | ({ type: "abandoned"; lostAt: number; graceMs: number } & At)
  /** Provision: on creation, and again for an agent that lacks a token or a session. */
  | ({ type: "provision" } & At)
  /** Its settings change. */
  | ({ type: "update"; force: boolean } & At)
  | ({ type: "delete"; force: boolean } & At)
  /** What was given up is to be begun anew, and what waits is to wait no longer. */
  | ({ type: "retry" } & At)
  /** Its gateway can be reached again: what has stalled goes on. */
  | ({ type: "resume" } & At)
  /** `remarks`: what the gateway said of it that is worth keeping. */
  | ({ type: "step.done"; generation: number; step: Step; remarks?: readonly string[] } & At)
  | ({
      type: "step.failed";
      generation: number;
      step: Step;
      /** In the gateway's own words. */
      error: string;
      /** Whether trying again can help. */
      transient: boolean;
      /** The other side's word on when to come back, or 0. */
      retryAfterMs: number;
      /** From 0 to 1, drawn by the sender: the machine itself rolls no dice. */
      jitter: number;
    } & At)
  /** `dueAt` has passed. */
  | ({ type: "due" } & At)
  /** The agent's answer to its new configuration; null: applied. */
  | ({ type: "configured"; error: string | null } & At)
  /** Raised by the work for the life; never sent from outside. */
  | ({ type: "work.succeeded" } & At)
  | ({ type: "work.failed"; error: string } & At)
  | ({ type: "checkin.failed" } & At);

/** The event of one type. */
export type EventOf<T extends AgentEvent["type"]> = Extract<AgentEvent, { type: T }>;

/** What the machine asks of whoever runs it; see the actions of `model`. */
export type Effect =
  | { type: "record"; params: Recorded }
  | { type: "recordBeat"; params: Recorded }
  | { type: "mintToken" }
  | { type: "runStep" }
  | { type: "configure" }
  | { type: "settle"; params: { error: string | null } };

/** An entry for the activity log, committed with the transition that caused it. */
export type Recorded = { type: string; message: string };

const carriedOutByTheActor = () => {};

/**
 * Types, effects and guards that the regions of the agent machine share. Effects are data: `transition()` hands them
 * out, and whoever runs the machine carries them out.
 */
export const model = setup({
  types: {} as { context: AgentContext; events: AgentEvent; input: AgentContext },
  actions: {
    /** Leave an activity event, in the same transaction. */
    record: (_, _recorded: Recorded) => carriedOutByTheActor(),
    /** The same, but only where every heartbeat is to leave one. */
    recordBeat: (_, _recorded: Recorded) => carriedOutByTheActor(),
    /** Mint a fresh token, in the same transaction. Older ones stay good until it is used. */
    mintToken: carriedOutByTheActor,
    /** After the commit: carry out `context.step` at the gateway. */
    runStep: carriedOutByTheActor,
    /** After the commit: send the connected agent its configuration. */
    configure: carriedOutByTheActor,
    /** After the commit: the work has ended; tell whoever waits for that. */
    settle: (_, _outcome: { error: string | null }) => carriedOutByTheActor(),
    seen: assign({ lastSeenAt: ({ context, event }) => Math.max(context.lastSeenAt ?? 0, event.at) }),
    /** `seen` and `clearError` at once: what comes by the hundred thousand after an outage pays for one of them. */
    seenWell: assign({
      lastSeenAt: ({ context, event }) => Math.max(context.lastSeenAt ?? 0, event.at),
      lastError: null,
    }),
    clearError: assign({ lastError: null }),
  },
});
