import type { ActivityEvent } from "../protocol/activity.ts";
import { arrivedAt, type Place, placeOfArrived } from "./cursor.ts";
import type { Queries } from "./database.ts";
import { readWeighed } from "./page.ts";

export interface ActivityRow {
  id: string;
  seq: number;
  type: string;
  message: string;
  organization_id: string;
  board_id: string | null;
  agent_id: string | null;
  task_id: string | null;
  created_at: Date;
}

/** An event before Postgres has it. */
export type ActivityDraft = Omit<ActivityRow, "seq">;

export function toActivityEvent({ seq: _seq, ...row }: ActivityDraft & { seq?: number }): ActivityEvent {
  return { ...row, created_at: row.created_at.toISOString() };
}

/** Adds events, set-based. One that is there already (a repeated commit) stays as it is. */
export async function insertActivity(database: Queries, events: readonly ActivityDraft[]): Promise<void> {
  if (events.length === 0) return;
  await database`
    insert into activity (id, organization_id, type, message, board_id, agent_id, task_id, created_at)
    select * from unnest(
      ${events.map(({ id }) => id)}::uuid[], ${events.map((event) => event.organization_id)}::uuid[],
      ${events.map(({ type }) => type)}::text[], ${events.map(({ message }) => message)}::text[],
      ${events.map((event) => event.board_id)}::uuid[], ${events.map((event) => event.agent_id)}::uuid[],
      ${events.map((event) => event.task_id)}::uuid[], ${events.map((event) => event.created_at.toISOString())}::timestamptz[])
    on conflict (created_at, id) do nothing`;
}

/** A deleted agent's entries stay, without it. */
export async function forgetAgentInActivity(database: Queries, agentId: string): Promise<void> {
  await database`update activity set agent_id = null where agent_id = ${agentId}`;
}

export interface ActivityFilter {
  organizationId: string;
  boardId?: string | undefined;
  agentId?: string | undefined;
  type?: string | undefined;
  since?: Date | undefined;
}

/** A page of the log, newest first. The cursor is a place in the order of arrival. */
export async function listActivity(
  database: Queries,
  filter: ActivityFilter,
  page: { limit: number; cursor?: Place | undefined },
): Promise<{ rows: ActivityRow[]; nextCursor: Place | null }> {
  const { organizationId, boardId, agentId, type, since } = filter;
  const { rows, hasMore } = await readWeighed<ActivityRow>(
    database,
    {
      columns: database`*`,
      from: database`
        activity where organization_id = ${organizationId}
        ${boardId === undefined ? database`` : database`and board_id = ${boardId}`}
        ${agentId === undefined ? database`` : database`and agent_id = ${agentId}`}
        ${type === undefined ? database`` : database`and type = ${type}`}
        ${since === undefined ? database`` : database`and created_at >= ${since}`}
        ${page.cursor === undefined ? database`` : database`and seq < ${arrivedAt(page.cursor)}`}
        order by seq desc`,
      order: database`seq desc`,
      heavy: database`octet_length(message)`,
    },
    page,
  );
  const last = hasMore ? rows.at(-1) : undefined;
  return { rows, nextCursor: last ? placeOfArrived(last) : null };
}
