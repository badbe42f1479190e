import type { Enrolment } from "../protocol/enrolments.ts";
import type { Queries } from "./database.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";

export interface EnrolmentRow {
  id: string;
  organization_id: string;
  board_id: string;
  /** The user's token that it was made with; null: none that is known. */
  parent_id: string | null;
  hash: Uint8Array;
  uses_left: number | null;
  created_at: Date;
  expires_at: Date | null;
}

export function toEnrolment(row: EnrolmentRow): Enrolment {
  return {
    id: row.id,
    board_id: row.board_id,
    uses_left: row.uses_left,
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at?.toISOString() ?? null,
  };
}

export async function insertEnrolment(database: Queries, enrolment: EnrolmentRow): Promise<void> {
  await database`insert into enrolments ${database(enrolment)}`;
}

export async function readEnrolment(database: Queries, id: string): Promise<EnrolmentRow | undefined> {
  const [row] = await database<EnrolmentRow[]>`select * from enrolments where id = ${id}`;
  return row;
}

/** Takes one use. False when none is left, or the enrolment is gone. */
export async function takeEnrolmentUse(database: Queries, id: string): Promise<boolean> {
  const taken = await database`
    update enrolments set uses_left = uses_left - 1
    where id = ${id} and (uses_left is null or uses_left > 0)`;
  return taken.count > 0;
}

export function listEnrolments(
  database: Queries,
  filter: { organizationId: string; boardId?: string | undefined },
  page: PageRequest,
): Promise<Page<EnrolmentRow>> {
  const { organizationId, boardId } = filter;
  return readPage<EnrolmentRow>(
    database,
    {
      columns: database`t.*`,
      source: database`enrolments t`,
      heavy: database`0`,
      where: database`t.organization_id = ${organizationId}
        ${boardId === undefined ? database`` : database`and t.board_id = ${boardId}`}`,
    },
    page,
  );
}

/** Whether there was one to delete. */
export async function deleteEnrolment(
  database: Queries,
  organizationId: string,
  id: string,
): Promise<boolean> {
  const deleted =
    await database`delete from enrolments where id = ${id} and organization_id = ${organizationId}`;
  return deleted.count > 0;
}
