import type { Database, Queries } from "./database.ts";

/** Rows read at a time when the journal is replayed: each may be some hundred kilobytes. */
const REPLAYED_AT_ONCE = 50;

/**
 * Adds heartbeats, as one row. That is what makes them durable: a row of `presence` each would cost ten times as much.
 *
 * @param nos the agents' small keys
 * @param times when each was seen, milliseconds since the epoch
 * @returns the row's place in the journal
 */
export async function appendHeartbeats(
  database: Queries,
  nos: Int32Array,
  times: Float64Array,
): Promise<number> {
  let at = 0;
  for (const time of times) if (time > at) at = time;
  const before = times.map((time) => at - time);
  const [row] = await database<{ seq: number }[]>`
    insert into heartbeat_journal (at, agents, before)
    values (to_timestamp(${at}::float8 / 1000), ${arrayOf(nos)}::text::int[], ${arrayOf(before)}::text::bigint[])
    returning seq`;
  if (!row) throw new Error("an insert gave no row back");
  return row.seq;
}

/**
 * Goes through all heartbeats of the journal, the oldest first.
 *
 * @returns the places of its rows
 */
export async function replayHeartbeats(
  database: Database,
  take: (no: number, at: number) => void,
): Promise<number[]> {
  const places: number[] = [];
  const rows = database<{ seq: number; at: number; agents: number[]; before: number[] }[]>`
    select seq, extract(epoch from at)::float8 * 1000 as at, agents, before from heartbeat_journal order by seq`;
  for await (const some of rows.cursor(REPLAYED_AT_ONCE))
    for (const { seq, at, agents, before } of some) {
      places.push(seq);
      for (let position = 0; position < agents.length; position++)
        take(agents[position] ?? 0, at - (before[position] ?? 0));
    }
  return places;
}

/** Drops the rows at these places: their heartbeats stand in `presence`. */
export async function dropHeartbeats(database: Queries, places: readonly number[]): Promise<void> {
  await database`delete from heartbeat_journal where seq = any(${arrayOf(places)}::text::bigint[])`;
}

/** Whole numbers as Postgres reads an array: as text it is made several times faster than element by element. */
export function arrayOf(numbers: Int32Array | Float64Array | readonly number[]): string {
  return `{${numbers.join(",")}}`;
}
