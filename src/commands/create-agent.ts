import { randomUUID } from "node:crypto";
import { leadBoardOf, requireBoardWrite, requireOwnBoard } from "../auth/access.ts";
import { MusterError } from "../protocol/errors.ts";
import type { Params } from "../protocol/methods.ts";
import { findTakenName } from "../store/agents.ts";
import type { BoardRow } from "../store/boards.ts";
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

/** The board on which the principal may create agents: the one it names, or a lead's own. */
export async function boardForNewAgent(
  context: Context,
  boardId: string | null | undefined,
): Promise<BoardRow> {
  const { principal } = context;
  if (principal.kind === "agent") {
    const ownBoardId = leadBoardOf(await findAgent(context, principal.organizationId, principal.agentId));
    requireOwnBoard(ownBoardId, boardId ?? ownBoardId);
    return findBoard(context, principal.organizationId, ownBoardId);
  }
  const user = requireBoardWrite(principal);
  if (!boardId) throw new MusterError("unprocessable", "board_id is required");
  return findBoard(context, user.organizationId, boardId);
}

/** Creates an agent on a board and begins to provision it. */
export async function createAgentOn(
  context: Context,
  board: BoardRow,
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
  const created = await newcomers.create(agent, clock.now(), (token) =>
    context.claim?.({ agent_id: id, token: managed ? undefined : token }),
  );
  return {
    id,
    index: created.index,
    generation: registry.columns.generation[created.index] ?? 0,
    token: managed ? undefined : created.token,
  };
}
