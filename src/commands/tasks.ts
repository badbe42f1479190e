import { randomUUID } from "node:crypto";
import { requireAdmin } from "../auth/access.ts";
import { MusterError } from "../protocol/errors.ts";
import type { Task, taskMethods } from "../protocol/tasks.ts";
import { type ActivityDraft, insertActivity } from "../store/activity.ts";
import { readAgent } from "../store/agents.ts";
import type { Queries } from "../store/database.ts";
import {
  deleteTask,
  insertTask,
  listTasks,
  readTask,
  type TaskRow,
  toTask,
  updateTask,
} from "../store/tasks.ts";
import { defined } from "./boards.ts";
import type { Context, Handlers } from "./context.ts";
import { findBoard } from "./find.ts";
import { pagesOf } from "./pages.ts";

export const taskCommands: Handlers<keyof typeof taskMethods> = {
  async "task.create"(context, params) {
    const { organizationId } = requireAdmin(context.principal);
    await findBoard(context, organizationId, params.board_id);
    await requireAssignable(context, organizationId, params.assigned_agent_id);
    const at = new Date(context.services.clock.now());
    const status = params.status ?? "inbox";
    const task = await recorded(context, "task.created", "was created", (database) =>
      insertTask(database, {
        id: randomUUID(),
        organization_id: organizationId,
        board_id: params.board_id,
        title: params.title,
        description: params.description ?? null,
        status,
        assigned_agent_id: params.assigned_agent_id ?? null,
        in_progress_at: status === "in_progress" ? at : null,
        created_at: at,
        updated_at: at,
      }),
    );
    return { task };
  },

  async "task.get"(context, { task_id }) {
    const { organizationId } = requireAdmin(context.principal);
    return { task: toTask(await findTask(context, organizationId, task_id)) };
  },

  async "task.list"(context, params) {
    const { organizationId } = requireAdmin(context.principal);
    if (params.board_id !== undefined) await findBoard(context, organizationId, params.board_id);
    const { board_id, assigned_agent_id, status } = params;
    const filter = { organizationId, boardId: board_id, agentId: assigned_agent_id, status };
    const pages = pagesOf(context, { organizationId, list: "task.list" });
    const { rows, total, nextCursor } = await listTasks(context.database, filter, pages.asked(params));
    return { items: rows.map(toTask), total, next_cursor: pages.next(nextCursor) };
  },

  async "task.update"(context, { task_id, ...fields }) {
    const { organizationId } = requireAdmin(context.principal);
    const before = await findTask(context, organizationId, task_id);
    await requireAssignable(context, organizationId, fields.assigned_agent_id);
    const at = new Date(context.services.clock.now());
    const task = await recorded(context, "task.updated", "was updated", (database) =>
      updateTask(database, organizationId, task_id, {
        ...defined(fields),
        ...(fields.status === undefined
          ? {}
          : { in_progress_at: inProgressSince(before, fields.status, at) }),
        updated_at: at,
      }),
    );
    return { task };
  },

  async "task.delete"(context, { task_id }) {
    const { organizationId } = requireAdmin(context.principal);
    const task = await readTask(context.database, organizationId, task_id);
    if (task)
      await recorded(context, "task.deleted", "was deleted", async (database) =>
        (await deleteTask(database, organizationId, task_id)) ? task : undefined,
      ).catch((error) => {
        if (!(error instanceof MusterError && error.reason === "not_found")) throw error;
      });
    return { ok: true };
  },
};

async function findTask({ database }: Context, organizationId: string, id: string): Promise<TaskRow> {
  const task = await readTask(database, organizationId, id);
  if (task) return task;
  throw new MusterError("not_found", "Task not found");
}

async function requireAssignable(
  { database }: Context,
  organizationId: string,
  agentId: string | null | undefined,
) {
  if (agentId && !(await readAgent(database, organizationId, agentId)))
    throw new MusterError("not_found", "Agent not found");
}

function inProgressSince(before: TaskRow, status: Task["status"], at: Date): Date | null {
  if (status !== "in_progress") return null;
  return before.status === "in_progress" ? before.in_progress_at : at;
}

/** Writes a task and the entry in the log that tells of it, in one transaction, then tells who watches. */
async function recorded(
  { database, services, onceCommitted }: Context,
  type: string,
  verb: string,
  write: (database: Queries) => Promise<TaskRow | undefined>,
): Promise<Task> {
  const inOne = async (transaction: Queries) => {
    const task = await write(transaction);
    if (!task) throw new MusterError("not_found", "Task not found");
    const event: ActivityDraft = {
      id: randomUUID(),
      type,
      message: `Task "${task.title}" ${verb}.`,
      organization_id: task.organization_id,
      board_id: task.board_id,
      agent_id: task.assigned_agent_id,
      task_id: task.id,
      created_at: new Date(services.clock.now()),
    };
    await insertActivity(transaction, [event]);
    return { task, event };
  };
  const { task, event } = await (database === services.database
    ? services.database.begin(inOne)
    : inOne(database));
  onceCommitted(() => services.hub.recorded([event]));
  return toTask(task);
}
