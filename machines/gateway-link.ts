import { setup, transition } from "xstate";
import { retryDelay } from "./backoff.ts";

/** How long a gateway that said it restarts may take before it counts as away, in milliseconds. */
export const RESTART_MS = 30_000;
/** Between two looks at a gateway that restarts, at most, in milliseconds. */
const RESTART_PAUSE_MS = 1_000;
/** How often it is looked whether somebody has allowed the pairing, in milliseconds. */
export const PAIRING_MS = 60_000;

/** Everything that a link's life depends on. Times are milliseconds since the epoch. */
export interface LinkContext {
  /** Tries that have failed since it was ready last; those during a restart are none. */
  failures: number;
  /** When the next try is due; null: none by itself. */
  dueAt: number | null;
  /** Until when a restart that was announced is waited for. */
  restartUntil: number | null;
  /** In plain words; null while all is well. */
  lastError: string | null;
  /** What a person can do about it. */
  hint: string | null;
  pairingRequestId: string | null;
}

/** Why a try has failed, or an open link was lost. */
export type Failure = {
  /**
   * `restarting`: it comes back soon. `unreachable`: trying again can help. `refused`: only other settings can.
   * `pairing`: a person has to allow it.
   */
  kind: "restarting" | "unreachable" | "refused" | "pairing";
  error: string;
  hint: string | null;
  pairingRequestId: string | null;
  /** The gateway's own word on when to come back, or 0. */
  retryAfterMs: number;
};

interface At {
  at: number;
}

/** What can happen to a link. `jitter` is from 0 to 1, drawn by the sender. */
export type LinkEvent =
  /** The handshake is done: it can be used. */
  | ({ type: "ready" } & At)
  | ({ type: "failed"; failure: Failure; jitter: number } & At)
  /** It says that it is about to restart. */
  | ({ type: "announced" } & At)
  /** `dueAt` has passed. */
  | ({ type: "due" } & At)
  /** A person wants it to go on now, or its settings are different. */
  | ({ type: "reconnect" } & At)
  | ({ type: "close" } & At);

/** After the transition: dial anew (hanging up first), or hang up. */
export type LinkEffect = { type: "dial" } | { type: "hangUp" };

const carriedOutByTheLink = () => {};

type In<E = LinkEvent> = { context: LinkContext; event: E };
type Failed = Extract<LinkEvent, { type: "failed" }>;

const isKind =
  (kind: Failure["kind"]) =>
  ({ event }: In) =>
    event.type === "failed" && event.failure.kind === kind;
const isDue = ({ context, event }: In) => context.dueAt !== null && event.at >= context.dueAt;
const restartIsUnderWay = ({ context, event }: In) =>
  context.restartUntil !== null && event.at < context.restartUntil;
/** While a restart is under way, whatever fails counts as part of it. */
const isWithinRestart = (about: In) => isKind("unreachable")(about) && restartIsUnderWay(about);
/** One that "starts" for longer than a restart takes is away like any other. */
const restartsTooLong = (about: In) =>
  isKind("restarting")(about) && about.context.restartUntil !== null && !restartIsUnderWay(about);

const START: LinkContext = {
  failures: 0,
  dueAt: null,
  restartUntil: null,
  lastError: null,
  hint: null,
  pairingRequestId: null,
};

const model = setup({
  types: {} as { context: LinkContext; events: LinkEvent },
  actions: { dial: carriedOutByTheLink, hangUp: carriedOutByTheLink },
});

const restartPause = ({ failure, jitter }: Failed) =>
  failure.retryAfterMs + Math.round(RESTART_PAUSE_MS * (0.25 + 0.75 * jitter));

const explain = ({ failure }: Failed) => ({
  lastError: failure.error,
  hint: failure.hint,
  pairingRequestId: failure.pairingRequestId,
});
const awaitRestart = model.assign(({ context, event }: In) => {
  if (event.type !== "failed") return {};
  return {
    ...explain(event),
    restartUntil: restartIsUnderWay({ context, event }) ? context.restartUntil : event.at + RESTART_MS,
    dueAt: event.at + restartPause(event),
  };
});
const backOff = model.assign(({ context, event }: In) => {
  if (event.type !== "failed") return {};
  const failures = context.failures + 1;
  return {
    ...explain(event),
    failures,
    dueAt: event.at + retryDelay(failures, event.jitter, event.failure.retryAfterMs),
  };
});
const stand = model.assign(({ context, event }: In) =>
  event.type === "failed"
    ? { ...explain(event), failures: context.failures + 1, restartUntil: null, dueAt: null }
    : {},
);
const awaitPairing = model.assign(({ context, event }: In) =>
  event.type === "failed"
    ? {
        ...explain(event),
        failures: context.failures + 1,
        restartUntil: null,
        dueAt: event.at + PAIRING_MS,
      }
    : {},
);
const clear = model.assign({ ...START });
/** Nothing is waited for any more. */
const disarm = model.assign({ dueAt: null });

const onFailure = [
  { guard: isKind("restarting"), target: "restarting", actions: [awaitRestart, "hangUp"] },
  { guard: isWithinRestart, target: "restarting", actions: [awaitRestart, "hangUp"] },
  { guard: isKind("unreachable"), target: "backing_off", actions: [backOff, "hangUp"] },
  { guard: isKind("pairing"), target: "pairing_required", actions: [awaitPairing, "hangUp"] },
  { guard: isKind("refused"), target: "refused", actions: [stand, "hangUp"] },
] as const;
const again = { guard: isDue, target: "connecting", actions: [disarm, "dial"] } as const;

/** The link to one gateway. A restart that the gateway announced is no failure; a refusal is not tried again blindly. */
export const gatewayLinkMachine = model.createMachine({
  id: "gateway-link",
  context: START,
  initial: "connecting",
  on: {
    reconnect: {
      target: ".connecting",
      actions: [model.assign({ restartUntil: null, failures: 0 }), disarm, "dial"],
    },
    close: { target: ".closed", actions: [disarm, "hangUp"] },
  },
  states: {
    connecting: {
      on: {
        ready: { target: "ready", actions: clear },
        failed: [
          { guard: restartsTooLong, target: "backing_off", actions: [backOff, "hangUp"] },
          ...onFailure,
        ],
      },
    },
    ready: {
      on: {
        failed: onFailure,
        announced: {
          actions: model.assign({ restartUntil: ({ event }) => event.at + RESTART_MS }),
        },
      },
    },
    restarting: { on: { due: again } },
    backing_off: { on: { due: again } },
    pairing_required: { on: { due: again } },
    refused: {},
    closed: { on: { reconnect: {}, close: {} } },
  },
});

export type LinkStateName =
  | "connecting"
  | "ready"
  | "restarting"
  | "backing_off"
  | "pairing_required"
  | "refused"
  | "closed";

export interface LinkLife {
  state: LinkStateName;
  context: LinkContext;
}

/** A link before its first try, which its owner begins. */
export function newLink(): LinkLife {
  return { state: "connecting", context: START };
}

/** One event: the next state, and what to do then. */
export function reactLink(life: LinkLife, event: LinkEvent): { life: LinkLife; effects: LinkEffect[] } {
  const snapshot = gatewayLinkMachine.resolveState({ value: life.state, context: life.context });
  const [next, actions] = transition(gatewayLinkMachine, snapshot, event);
  const effects: LinkEffect[] = [];
  for (const { type } of actions) if (type === "dial" || type === "hangUp") effects.push({ type });
  return { life: { state: next.value, context: next.context }, effects };
}
