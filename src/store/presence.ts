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

/** An agent's small key, and its news. */
export interface KeyedReport {
  no: number;
  report: Report;
}

/**
 * Writes last-seen times, unless newer ones are there. Doing it twice does no harm.
 *
 * @param nos the agents' small keys, each once
 * @param times milliseconds since the epoch
 */
export async function writeLastSeen(
  database: Queries,
  nos: readonly number[],
  times: readonly number[],
): Promise<void> {
  await database`
    update presence p set last_seen_at = greatest(p.last_seen_at, to_timestamp(u.ms / 1000))
    from unnest(${nos as number[]}::int[], ${times as number[]}::float8[]) u (no, ms)
    where p.agent_no = u.no`;
}

/**
 * Writes what agents reported. Doing it twice does no harm.
 *
 * @returns Postgres' refusals of single reports, which are dropped; every other failure is thrown
 */
export async function writeReports(database: Queries, reports: readonly KeyedReport[]): Promise<unknown[]> {
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
