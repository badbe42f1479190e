import { randomUUID } from "node:crypto";
import { leadBoardOf, requireBoardWrite, requireNoLead, requireOwnBoard } from "../auth/access.ts";
import { MusterError } from "../protocol/errors.ts";
import type { Params } from "../protocol/methods.ts";
import { findTakenName } from "../store/agents.ts";
import type { BoardRow } from "../store/boards.ts";
import { type Bound, Bounds, gatewayBound, leadBound } from "./agent-bounds.ts";
import type { Context } from "./context.ts";
import { findAgent, findBoard, findGatewayOf } from "./find.ts";
import { newFields } from "./settings.ts";

/** An agent that was just created. */
export interface Created {
  id: string;
  index: number;
  generation: number;
  /** Shown once, and only for an agent that brings itself: the others get theirs through the gateway. */
  token: string | undefined;
}

/** Where the principal may create an agent, and the bound that it has there, if any. */
export interface Opening {
  board: BoardRow;
  bound: Bound | undefined;
}

/** The board on which the principal may create this agent: the one it names, or a lead's own. */
export async function openingFor(
  context: Context,
  { board_id, is_board_lead }: Pick<Params<"agent.create">, "board_id" | "is_board_lead">,
): Promise<Opening> {
  const { principal } = context;
  if (principal.kind === "agent") {
    const ownBoardId = leadBoardOf(await findAgent(context, principal.organizationId, principal.agentId));
    requireOwnBoard(ownBoardId, board_id ?? ownBoardId);
    requireNoLead(is_board_lead);
    const board = await findBoard(context, principal.organizationId, ownBoardId);
    return { board, bound: leadBound(ownBoardId) };
  }
  const user = requireBoardWrite(principal);
  if (!board_id) throw new MusterError("unprocessable", "board_id is required");
  return { board: await findBoard(context, user.organizationId, board_id), bound: undefined };
}

/** Creates an agent on a board and begins to provision it. */
export async function createAgentOn(
  context: Context,
  { board, bound }: Opening,
  params: Pick<
    Params<"agent.create">,
    "name" | "heartbeat_config" | "identity_profile" | "identity_template" | "soul_template" | "is_board_lead"
  >,
): Promise<Created> {
  const { clock, newcomers, registry } = context.services;
  const gateway = await findGatewayOf(context, board);
  const fields = newFields(params, board.id, gateway);
  const taken = await findTakenName(context.database, fields);
  if (taken) throw taken;
  const managed = gateway.kind !== "direct";
  const id = randomUUID();
  const agent = { id, organizationId: board.organization_id, managed, fields };
  const bounds = new Bounds(gatewayBound(context, gateway), bound);
  await bounds.requireRoom(context.database);
  const created = await newcomers.create(agent, clock.now(), (token) =>
    bounds.before(context.claim?.({ agent_id: id, token: managed ? undefined : token })),
  );
  return {
    id,
    index: created.index,
    generation: registry.columns.generation[created.index] ?? 0,
    token: managed ? undefined : created.token,
  };
}
