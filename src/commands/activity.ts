import { requireAdmin } from "../auth/access.ts";
import type { activityMethods } from "../protocol/activity.ts";
import { listActivity, toActivityEvent } from "../store/activity.ts";
import type { Handlers } from "./context.ts";
import { findBoard } from "./find.ts";
import { pagesOf } from "./pages.ts";

export const activityCommands: Handlers<keyof typeof activityMethods> = {
  async "activity.list"(context, { board_id, agent_id, type, since, ...page }) {
    const { organizationId } = requireAdmin(context.principal);
    if (board_id !== undefined) await findBoard(context, organizationId, board_id);
    const pages = pagesOf(context, { organizationId, list: "activity.list" });
    const filter = {
      organizationId,
      boardId: board_id,
      agentId: agent_id,
      type,
      since: since === undefined ? undefined : new Date(since),
    };
    const { rows, nextCursor } = await listActivity(context.database, filter, pages.asked(page));
    return { items: rows.map(toActivityEvent), next_cursor: pages.next(nextCursor) };
  },
};
