import { randomUUID } from "node:crypto";
import type { AgentState } from "../../machines/agent.ts";
import type { Effect } from "../../machines/model.ts";
import type { Seal } from "../auth/seal.ts";
import { agentTokenPlace } from "../auth/sealed-places.ts";
import { mintToken } from "../auth/tokens.ts";
import type { ActivityDraft } from "../store/activity.ts";
import type { AgentFields, Change, LifeColumns } from "../store/changes.ts";
import type { Rider } from "./mailbox.ts";
import type { Belonging } from "./registry.ts";

/** A transition that the machine has decided on, before it is committed. */
export interface Decision {
  agentId: string;
  organizationId: string;
  /** The agent's small key. */
  no: number;
  fromVersion: number;
  state: AgentState;
  next: AgentState;
  effects: readonly Effect[];
  events: ActivityDraft[];
  rider: Rider;
  /** Milliseconds since the epoch. */
  at: number;
}

/** What Postgres is to write for a decision: all that follows from it in one change. */
export function changeOf(
  { agentId, organizationId, no, fromVersion, state, next, effects, events, rider, at }: Decision,
  seal: Seal,
): Change {
  const minted = effects.some(({ type }) => type === "mintToken") ? mintToken("agent") : null;
  const common = {
    agentId,
    at: new Date(at),
    events,
    token: minted && {
      minted,
      sealed: seal.seal(minted.token, agentTokenPlace({ id: agentId, organizationId })),
    },
    also: rider.also ?? null,
  };
  if (next.status === "gone") return { kind: "removal", fromVersion, ...common };
  const { lastSeenAt } = next.context;
  const seen = lastSeenAt === null || lastSeenAt === state.context.lastSeenAt ? null : { no, at: lastSeenAt };
  if (!rider.fields && sameLife(state, next)) return { kind: "remark", seen, ...common };
  return {
    kind: "transition",
    fromVersion,
    life: lifeColumns(next),
    fields: rider.fields ?? null,
    seen,
    // What is given up for now goes on with the token that it has not brought there yet.
    forgetSealed: next.work !== "waiting" && effects.some(({ type }) => type === "settle"),
    ...common,
  };
}

/** The entries that effects leave in the activity log. `agentId` null: the agent is gone, its entries stay without it. */
export function draftsOf(
  effects: readonly Effect[],
  {
    agentId,
    belonging,
    at,
    everyBeat,
  }: {
    agentId: string | null;
    belonging: Belonging;
    at: number;
    /** Whether heartbeats that change nothing leave one too. */
    everyBeat: boolean;
  },
): ActivityDraft[] {
  const drafts: ActivityDraft[] = [];
  for (const effect of effects)
    if (effect.type === "record" || (effect.type === "recordBeat" && everyBeat))
      drafts.push({
        id: randomUUID(),
        ...effect.params,
        organization_id: belonging.organizationId,
        board_id: belonging.boardId,
        agent_id: agentId,
        task_id: null,
        created_at: new Date(at),
      });
  return drafts;
}

/** The machine's part of an agent's row. */
export function lifeColumns({ status, work, context }: AgentState): LifeColumns {
  if (status === "gone") throw new Error("an agent that is gone has no row");
  return {
    status,
    work_state: work,
    provision_action: context.action,
    provision_step: context.step,
    provision_step_since: context.stepSince === null ? null : new Date(context.stepSince),
    provision_attempt: context.attempt,
    provision_wakes: context.wakes,
    provision_due_at: context.dueAt === null ? null : new Date(context.dueAt),
    provision_force: context.force,
    provision_came_from: context.cameFrom,
    provision_failed: context.failed,
    generation: context.generation,
    last_error: context.lastError,
  };
}

/** Whether a transition leaves the agent's row as it is; last_seen is not in it. */
export function sameLife(one: AgentState, other: AgentState): boolean {
  if (one.status !== other.status || one.work !== other.work) return false;
  const { lastSeenAt: _one, ...before } = one.context;
  const { lastSeenAt: _other, ...after } = other.context;
  return Object.keys(before).every(
    (key) => before[key as keyof typeof before] === after[key as keyof typeof after],
  );
}

/** How often an agent is to beat by its settings, as they say it; null: they do not. */
export function everyOf({ heartbeat_config }: Partial<AgentFields>): string | null {
  return typeof heartbeat_config?.every === "string" ? heartbeat_config.every : null;
}
