import { MusterError } from "../protocol/errors.ts";
import { countAgentsOfGateway, countWorkersOfBoard } from "../store/agent-counts.ts";
import type { Queries } from "../store/database.ts";
import type { GatewayRow } from "../store/gateways.ts";
import type { Context } from "./context.ts";

/**
 * How many agents there may be somewhere. Asked before a change, for one agent that is still to come, and again within
 * the change's transaction, when it is there: the committer writes one group after another, so of two that come at once
 * the second counts the first. Throws `conflict`.
 */
export type Bound = (database: Queries, coming: 0 | 1) => Promise<void>;

/** What a change writes along in its own transaction. */
type Also = (transaction: Queries) => Promise<void>;

/** The bound on a gateway's agents; undefined where there is none: each agent of a local gateway is a process here. */
export function gatewayBound({ services }: Context, { id, kind }: GatewayRow): Bound | undefined {
  if (kind !== "local") return undefined;
  const most = services.config.localAgents;
  return async (database, coming) => {
    if ((await countAgentsOfGateway(database, id, most + 1)) + coming <= most) return;
    throw new MusterError(
      "conflict",
      `A local gateway of this server may have ${most} agents, and this one has them. Delete or move one first, or ` +
        "have the operator raise the number (MUSTER_LOCAL_AGENTS).",
    );
  };
}

/** The bound on what a board's lead may make there. */
export function leadBound(boardId: string): Bound {
  return async (database, coming) => {
    const board = await countWorkersOfBoard(database, boardId);
    if (!board || board.workers + coming <= board.max_agents) return;
    const most = board.max_agents;
    throw new MusterError(
      "conflict",
      `Board worker-agent limit reached: max_agents=${most} (excluding the lead); cannot create more than ${most} agents.`,
    );
  };
}

/** The bounds on one change; undefined ones are none. */
export class Bounds {
  readonly #bounds: readonly Bound[];

  constructor(...bounds: (Bound | undefined)[]) {
    this.#bounds = bounds.filter((bound) => bound !== undefined);
  }

  /** Refuses what is past a bound already, before anything is written: a refusal within a group costs all of the group. */
  async requireRoom(database: Queries): Promise<void> {
    for (const bound of this.#bounds) await bound(database, 1);
  }

  /** What is to happen in the change's own transaction: the bounds are asked once more, then comes what else there is. */
  before(also: Also | undefined): Also | undefined {
    if (this.#bounds.length === 0) return also;
    return async (transaction) => {
      for (const bound of this.#bounds) await bound(transaction, 0);
      await also?.(transaction);
    };
  }
}
