import { randomBytes, randomUUID } from "node:crypto";
import { requireAdmin } from "../auth/access.ts";
import type { boardMethods } from "../protocol/boards.ts";
import { MusterError } from "../protocol/errors.ts";
import { slugOf } from "../store/agent-rows.ts";
import {
  boardHasAgents,
  deleteBoard,
  insertBoard,
  listBoards,
  toBoard,
  updateBoard,
} from "../store/boards.ts";
import type { Handlers } from "./context.ts";
import { findBoard, findGateway } from "./find.ts";
import { pagesOf } from "./pages.ts";

/** A board's `max_agents`, unless it says otherwise. */
const MAX_AGENTS = 10;

export const boardCommands: Handlers<keyof typeof boardMethods> = {
  async "board.create"(context, params) {
    const { organizationId } = requireAdmin(context.principal);
    if (params.gateway_id) await findGateway(context, organizationId, params.gateway_id);
    const at = new Date(context.services.clock.now());
    const board = await insertBoard(context.database, {
      id: randomUUID(),
      organization_id: organizationId,
      gateway_id: params.gateway_id ?? null,
      name: params.name,
      slug: params.slug ?? (slugOf(params.name) || randomBytes(4).toString("hex")),
      type: params.type ?? "goal",
      objective: params.objective ?? null,
      success_metrics: params.success_metrics ?? null,
      target_date: params.target_date ?? null,
      max_agents: params.max_agents ?? MAX_AGENTS,
      created_at: at,
      updated_at: at,
    });
    return { board: toBoard(board) };
  },

  async "board.get"(context, params) {
    const { organizationId } = requireAdmin(context.principal);
    return { board: toBoard(await findBoard(context, organizationId, params.board_id)) };
  },

  async "board.list"(context, params) {
    const { organizationId } = requireAdmin(context.principal);
    const filter = { organizationId, gatewayId: params.gateway_id };
    const pages = pagesOf(context, { organizationId, list: "board.list" });
    const { rows, total, nextCursor } = await listBoards(context.database, filter, pages.asked(params));
    return { items: rows.map(toBoard), total, next_cursor: pages.next(nextCursor) };
  },

  async "board.update"(context, { board_id, ...fields }) {
    const { organizationId } = requireAdmin(context.principal);
    if (fields.gateway_id) await findGateway(context, organizationId, fields.gateway_id);
    const { gateway_id } = await findBoard(context, organizationId, board_id);
    const moves = fields.gateway_id !== undefined && fields.gateway_id !== gateway_id;
    if (moves && (await boardHasAgents(context.database, board_id)))
      throw new MusterError("conflict", "The board's agents are on its gateway: move or delete them first.");
    const updated_at = new Date(context.services.clock.now());
    const board = await updateBoard(context.database, organizationId, board_id, {
      ...defined(fields),
      updated_at,
    });
    if (!board) throw new MusterError("not_found", "Board not found");
    return { board: toBoard(board) };
  },

  async "board.delete"(context, { board_id }) {
    const { organizationId } = requireAdmin(context.principal);
    if (await deleteBoard(context.database, organizationId, board_id))
      for (const kind of ["agents", "activity"])
        context.services.hub.end(organizationId, `${kind}:board:${board_id}`, "deleted");
    return { ok: true };
  },
};

/** The fields that were given. */
export function defined<T extends object>(fields: T): Partial<T> {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Partial<T>;
}
