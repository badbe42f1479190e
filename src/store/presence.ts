import type { Json } from "../protocol/fields.ts";
import { isUnavailable, type Queries } from "./database.ts";

/** A free JSON object. */
export type Facts = Record<string, Json>;

/** News of an agent, for its `reported`. */
export interface Report {
  /** What its last heartbeat said of itself, in the place of what an earlier one did; undefined: it said nothing new. */
  said?: Facts;
  /** What came of its last configuration; kept until the next. */
  config?: Facts;
}

/** Heartbeats on their way to Postgres, merged per agent. */
export interface BeatBatch {
  /** Agents in this batch. */
  readonly count: number;
  /** The agents' small keys, and when each was last seen in milliseconds since the epoch. */
  readonly nos: readonly number[];
  readonly times: readonly number[];
  /** What some of them reported of themselves. */
  readonly reports: readonly { no: number; report: Report }[];
  /** Postgres has them all. */
  committed(): void;
  /** Postgres has none for certain: they are to be taken again. */
  failed(): void;
}

/**
 * Writes last-seen times and reports, one statement each, one after the other: side by side they would lock the same rows
 * in two orders. Doing it twice does no harm.
 *
 * @returns Postgres' refusals of single reports, which are dropped; every other failure is thrown
 */
export async function writeBeats(database: Queries, { nos, times, reports }: BeatBatch): Promise<unknown[]> {
  await database`
    update presence p set last_seen_at = greatest(p.last_seen_at, to_timestamp(u.ms / 1000))
    from unnest(${nos as number[]}::int[], ${times as number[]}::float8[]) u (no, ms)
    where p.agent_no = u.no`;
  return reports.length === 0 ? [] : writeReports(database, reports);
}

async function writeReports(database: Queries, reports: BeatBatch["reports"]): Promise<unknown[]> {
  try {
    await database`
      update presence p set reported = coalesce(u.said::jsonb, p.reported - 'config', '{}'::jsonb)
        || case when coalesce(u.config::jsonb, p.reported -> 'config') is null then '{}'::jsonb
           else jsonb_build_object('config', coalesce(u.config::jsonb, p.reported -> 'config')) end
      from unnest(
        ${reports.map(({ no }) => no)}::int[], ${reports.map(({ report }) => asText(report.said))}::text[],
        ${reports.map(({ report }) => asText(report.config))}::text[]
      ) u (no, said, config)
      where p.agent_no = u.no`;
    return [];
  } catch (error) {
    if (isUnavailable(error)) throw error;
    if (reports.length === 1) return [error];
    const apart: unknown[] = [];
    for (const report of reports) apart.push(...(await writeReports(database, [report])));
    return apart;
  }
}

function asText(facts: Facts | undefined): string | null {
  return facts === undefined ? null : JSON.stringify(facts);
}
