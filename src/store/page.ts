import type { PendingQuery, Row } from "postgres";
import { createdAt, type Place, placeOfCreated } from "./cursor.ts";
import type { Queries } from "./database.ts";

/** Which part of a list is asked for. A cursor stays right while rows come and go; an offset does not. */
export interface PageRequest {
  limit: number;
  cursor?: Place | undefined;
  offset?: number | undefined;
}

export interface Page<T> {
  rows: T[];
  /** Rows of the whole list. */
  total: number;
  /** Null on the last page. */
  nextCursor: Place | null;
}

/** A part of a query. */
export type Fragment = PendingQuery<Row[]>;

/** A list: `columns` to select of the table under the alias `t`, what stands behind `from`, and conditions. */
export interface List {
  columns: Fragment;
  source: Fragment;
  where: Fragment;
  /**
   * Bytes of what can be long in a row, as stored: looked at without reading it, so that a page of heavy rows costs no more
   * than a page. An integer.
   */
  heavy: Fragment;
}

/** Bytes of one page as JSON, about; a single row may have more. */
const MOST_BYTES = 524_288;

/** A page of a list, newest first, without counting the whole. The list's rows have `id` and `created_at`. */
export async function readRows<T extends { id: string; created_at: Date }>(
  database: Queries,
  { columns, source, where, heavy }: List,
  page: PageRequest,
): Promise<Omit<Page<T>, "total">> {
  const after = page.cursor === undefined ? undefined : createdAt(page.cursor);
  const { rows, hasMore } = await readWeighed<T>(
    database,
    {
      columns,
      from: database`
        ${source} where ${where}
        ${after === undefined ? database`` : database`and (t.created_at, t.id::text) < (${after.at}::timestamptz, ${after.id})`}
        order by t.created_at desc, t.id::text desc`,
      order: database`created_at desc, id::text desc`,
      heavy,
    },
    page,
  );
  const last = hasMore ? rows.at(-1) : undefined;
  return { rows, nextCursor: last ? placeOfCreated(last) : null };
}

/** What the weighing adds to each row. */
const WEIGHED = ["heavy", "place", "heavy_bytes", "available", "json_bytes"] as const;
type Weighed = { [column in (typeof WEIGHED)[number]]?: number };

/**
 * The first rows of a query, as many as are asked for and have no more bytes together, as JSON, than a page may have; one at
 * least if there is one. What is heavy is left unread from where the stored bytes alone are too many.
 *
 * @param from what stands behind `from`, its order included; `order` is the same order by the names of the columns
 */
export async function readWeighed<T extends object>(
  database: Queries,
  { columns, from, order, heavy }: { columns: Fragment; from: Fragment; order: Fragment; heavy: Fragment },
  { limit, offset = 0 }: { limit: number; offset?: number | undefined },
): Promise<{ rows: T[]; hasMore: boolean }> {
  const weighed = await database<(T & Weighed)[]>`
    select * from (
      select s.*, sum(octet_length(row_to_json(s)::text)) over (order by s.place) as json_bytes from (
        select x.*, row_number() over w as place, sum(x.heavy) over w as heavy_bytes, count(*) over () as available
        from (select ${columns}, ${heavy} as heavy from ${from} limit ${limit + 1} offset ${offset}) x
        window w as (order by ${order} rows unbounded preceding)
      ) s where s.heavy_bytes <= ${MOST_BYTES} or s.place = 1
    ) fitting where json_bytes <= ${MOST_BYTES} or place = 1
    order by place`;
  const available = weighed[0]?.available ?? 0;
  const rows = weighed.slice(0, limit);
  for (const row of rows) for (const column of WEIGHED) delete row[column];
  return { rows, hasMore: rows.length < available };
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
