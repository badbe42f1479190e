import { MusterError } from "../protocol/errors.ts";
import type { AgentRow } from "../store/agent-rows.ts";
import { readAgent } from "../store/agents.ts";
import { type BoardRow, readBoard } from "../store/boards.ts";
import { type GatewayRow, readGateway } from "../store/gateways.ts";
import type { Context } from "./context.ts";

/** Things of one organization by their ids. What is another's is not found, like what is not there at all. */

export async function findBoard(
  { database }: Pick<Context, "database">,
  organizationId: string,
  id: string,
): Promise<BoardRow> {
  const board = await readBoard(database, organizationId, id);
  if (board) return board;
  throw new MusterError("not_found", "Board not found");
}

export async function findGateway(
  { database }: Pick<Context, "database">,
  organizationId: string,
  id: string,
): Promise<GatewayRow> {
  const gateway = await readGateway(database, organizationId, id);
  if (gateway) return gateway;
  throw new MusterError("not_found", "Gateway not found");
}

export async function findAgent(
  { database }: Pick<Context, "database">,
  organizationId: string,
  id: string,
): Promise<AgentRow> {
  const agent = await readAgent(database, organizationId, id);
  if (agent) return agent;
  throw new MusterError("not_found", "Agent not found");
}

const NEEDED = ["main_session_key", "url", "workspace_root"] as const;

/** The gateway of a board, fit for agents; refused with what is missing. Kinds that need no gateway settings have none. */
export async function findGatewayOf(context: Context, board: BoardRow): Promise<GatewayRow> {
  if (board.gateway_id === null) throw new MusterError("unprocessable", "Board gateway_id is required");
  const gateway = await readGateway(context.database, board.organization_id, board.gateway_id);
  if (!gateway) throw new MusterError("unprocessable", "Board gateway_id is invalid");
  requireFit(gateway);
  return gateway;
}

/** Refuses a gateway that lacks what its kind needs for agents, with what is missing. */
export function requireFit(gateway: GatewayRow): void {
  if (gateway.kind !== "openclaw") return;
  for (const field of NEEDED)
    if (!gateway[field]) throw new MusterError("unprocessable", `Gateway ${field} is required`);
}
