import type { PendingQuery, Row } from "postgres";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import type { Queries } from "./database.ts";

/** Which part of a list is asked for. A cursor stays right while rows come and go; an offset does not. */
export interface PageRequest {
  limit: number;
  cursor?: string | undefined;
  offset?: number | undefined;
}

export interface Page<T> {
  rows: T[];
  /** Rows of the whole list. */
  total: number;
  /** Null on the last page. */
  nextCursor: string | null;
}

/** A part of a query. */
export type Fragment = PendingQuery<Row[]>;

/** A list: `columns` to select of the table under the alias `t`, what stands behind `from`, and conditions. */
export interface List {
  columns: Fragment;
  source: Fragment;
  where: Fragment;
  /** Bytes of a row, about, where rows can be large: a page then ends before it gets too large for one frame. */
  weight?: Fragment;
}

/** Bytes of one page, about; a single row may have more. */
const MOST_BYTES = 524_288;

/** A page of a list, newest first, without counting the whole. The list's rows have `id` and `created_at`. */
export async function readRows<T extends { id: string; created_at: Date }>(
  database: Queries,
  { columns, source, where, weight }: List,
  page: PageRequest,
): Promise<Omit<Page<T>, "total">> {
  const after = page.cursor === undefined ? undefined : decodeCursor(page.cursor);
  const asked = database`
    from ${source} where ${where}
    ${after === undefined ? database`` : database`and (t.created_at, t.id::text) < (${after.at}::timestamptz, ${after.id})`}
    order by t.created_at desc, t.id::text desc`;
  const limit = weight ? await rowsThatFit(database, asked, weight, page) : page.limit;
  const rows = await database<T[]>`select ${columns} ${asked} limit ${limit + 1} offset ${page.offset ?? 0}`;
  const last = rows.length > limit ? rows[limit - 1] : undefined;
  return { rows: rows.slice(0, limit), nextCursor: last ? encodeCursor(last) : null };
}

/** How many of the page's rows have no more bytes together than a page may have; one at least. */
async function rowsThatFit(
  database: Queries,
  asked: Fragment,
  weight: Fragment,
  { limit, offset = 0 }: PageRequest,
): Promise<number> {
  const [row] = await database<{ fitting: number }[]>`
    select count(*) as fitting from (
      select sum(weight) over (order by place) as bytes
      from (select ${weight} as weight, row_number() over () as place ${asked} limit ${limit} offset ${offset}) weighed
    ) summed
    where bytes <= ${MOST_BYTES}`;
  return Math.max(1, row?.fitting ?? 0);
}

/** A page of a list, newest first, with how long the whole is. */
export async function readPage<T extends { id: string; created_at: Date }>(
  database: Queries,
  list: List,
  page: PageRequest,
): Promise<Page<T>> {
  const [counted, rows] = await Promise.all([
    database<{ count: number }[]>`select count(*) from ${list.source} where ${list.where}`,
    readRows<T>(database, list, page),
  ]);
  return { ...rows, total: counted[0]?.count ?? 0 };
}
