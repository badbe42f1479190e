import type { Task } from "../protocol/tasks.ts";
import type { Queries } from "./database.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";

export interface TaskRow {
  id: string;
  organization_id: string;
  board_id: string;
  title: string;
  description: string | null;
  status: Task["status"];
  assigned_agent_id: string | null;
  in_progress_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

/** Columns that requests set. */
export type TaskFields = Omit<TaskRow, "id" | "organization_id" | "board_id" | "created_at" | "updated_at">;

export function toTask(row: TaskRow): Task {
  return {
    ...row,
    in_progress_at: row.in_progress_at?.toISOString() ?? null,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

export async function insertTask(database: Queries, task: TaskRow): Promise<TaskRow> {
  const [row] = await database<TaskRow[]>`insert into tasks ${database(task)} returning *`;
  if (!row) throw new Error("an insert gave no row back");
  return row;
}

/** One task of one organization. */
export async function readTask(
  database: Queries,
  organizationId: string,
  id: string,
): Promise<TaskRow | undefined> {
  const [row] = await database<TaskRow[]>`
    select * from tasks where id = ${id} and organization_id = ${organizationId}`;
  return row;
}

export function listTasks(
  database: Queries,
  filter: {
    organizationId: string;
    boardId?: string | undefined;
    agentId?: string | undefined;
    status?: string | undefined;
  },
  page: PageRequest,
): Promise<Page<TaskRow>> {
  const { organizationId, boardId, agentId, status } = filter;
  return readPage<TaskRow>(
    database,
    {
      columns: database`t.*`,
      source: database`tasks t`,
      heavy: database`octet_length(t.title) + coalesce(octet_length(t.description), 0)`,
      where: database`t.organization_id = ${organizationId}
        ${boardId === undefined ? database`` : database`and t.board_id = ${boardId}`}
        ${agentId === undefined ? database`` : database`and t.assigned_agent_id = ${agentId}`}
        ${status === undefined ? database`` : database`and t.status = ${status}`}`,
    },
    page,
  );
}

/** Undefined when there is no such task. */
export async function updateTask(
  database: Queries,
  organizationId: string,
  id: string,
  fields: Partial<TaskFields> & { updated_at: Date },
): Promise<TaskRow | undefined> {
  const [row] = await database<TaskRow[]>`
    update tasks set ${database(fields)}
    where id = ${id} and organization_id = ${organizationId} returning *`;
  return row;
}

/** Whether there was one to delete. */
export async function deleteTask(database: Queries, organizationId: string, id: string): Promise<boolean> {
  const deleted = await database`delete from tasks where id = ${id} and organization_id = ${organizationId}`;
  return deleted.count > 0;
}

/** Take a deleted agent's tasks from it: those under way go back to the inbox. */
export async function releaseTasks(database: Queries, agentId: string, at: Date): Promise<void> {
  await database`
    update tasks set assigned_agent_id = null, updated_at = ${at},
      in_progress_at = case when status = 'in_progress' then null else in_progress_at end,
      status = case when status = 'in_progress' then 'inbox' else status end
    where assigned_agent_id = ${agentId}`;
}
