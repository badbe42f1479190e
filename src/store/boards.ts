import type { Board } from "../protocol/boards.ts";
import type { Queries } from "./database.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";

export interface BoardRow {
  id: string;
  organization_id: string;
  gateway_id: string | null;
  name: string;
  slug: string;
  type: string;
  objective: string | null;
  success_metrics: Board["success_metrics"];
  target_date: string | null;
  /** How many agents its lead may have made, the leads not counted. */
  max_agents: number;
  created_at: Date;
  updated_at: Date;
}

/** Columns that requests set. */
export type BoardFields = Omit<BoardRow, "id" | "organization_id" | "created_at" | "updated_at">;

export function toBoard(row: BoardRow): Board {
  return { ...row, created_at: row.created_at.toISOString(), updated_at: row.updated_at.toISOString() };
}

export async function insertBoard(database: Queries, board: BoardRow): Promise<BoardRow> {
  const [row] = await database<
    BoardRow[]
  >`insert into boards ${database(jsonReady(database, board))} returning *`;
  if (!row) throw new Error("an insert gave no row back");
  return row;
}

export async function readBoard(
  database: Queries,
  organizationId: string,
  id: string,
): Promise<BoardRow | undefined> {
  const [row] = await database<BoardRow[]>`
    select * from boards where id = ${id} and organization_id = ${organizationId}`;
  return row;
}

export function listBoards(
  database: Queries,
  filter: { organizationId: string; gatewayId?: string | undefined },
  page: PageRequest,
): Promise<Page<BoardRow>> {
  const { organizationId, gatewayId } = filter;
  return readPage<BoardRow>(
    database,
    {
      columns: database`t.*`,
      source: database`boards t`,
      heavy: database`coalesce(octet_length(t.objective), 0) + coalesce(pg_column_size(t.success_metrics), 0)`,
      where: database`t.organization_id = ${organizationId}
        ${gatewayId === undefined ? database`` : database`and t.gateway_id = ${gatewayId}`}`,
    },
    page,
  );
}

/** Undefined when there is no such board. */
export async function updateBoard(
  database: Queries,
  organizationId: string,
  id: string,
  fields: Partial<BoardFields> & { updated_at: Date },
): Promise<BoardRow | undefined> {
  const [row] = await database<BoardRow[]>`
    update boards set ${database(jsonReady(database, fields))}
    where id = ${id} and organization_id = ${organizationId} returning *`;
  return row;
}

export async function boardHasAgents(database: Queries, id: string): Promise<boolean> {
  const [row] = await database`select 1 from agents where board_id = ${id} limit 1`;
  return row !== undefined;
}

/** Whether there was one to delete. Agents on it make Postgres refuse. */
export async function deleteBoard(database: Queries, organizationId: string, id: string): Promise<boolean> {
  const deleted = await database`delete from boards where id = ${id} and organization_id = ${organizationId}`;
  return deleted.count > 0;
}

function jsonReady<T extends { success_metrics?: Board["success_metrics"] | undefined }>(
  database: Queries,
  fields: T,
) {
  const { success_metrics, ...others } = fields;
  if (success_metrics === undefined) return others;
  return { ...others, success_metrics: success_metrics === null ? null : database.json(success_metrics) };
}
