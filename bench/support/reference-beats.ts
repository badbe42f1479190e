import { randomUUID } from "node:crypto";
import type { Sql } from "postgres";
import { Recorder } from "../../src/cli/load/recorder.ts";

/** Heartbeats written to the tables of `startReferencePostgres` without any server or socket. */
export interface Writer {
  /** How many heartbeats one write is. */
  readonly size: number;
  /** Writes that are best under way at a time. */
  readonly width: number;
  write(): Promise<unknown>;
}

/** What an UPDATE takes at most, as our committer has it. */
const MOST_AT_ONCE = 50_000;

/** All agents at once: one UPDATE, again and again. What Postgres gives to whoever commits in groups. */
export function groupWriter(sql: Sql, agents: number): Writer {
  const size = Math.min(agents, MOST_AT_ONCE);
  let first = 0;
  return {
    size,
    width: 1,
    write() {
      const nos = Array.from({ length: size }, (_, position) => (first + position) % agents);
      first = (first + size) % agents;
      const now = Date.now();
      return updateLastSeen(sql, nos, new Array<number>(size).fill(now));
    },
  };
}

/** One agent after the other, each in a transaction of its own, as the reference service does. */
export function transactionWriter(sql: Sql, ids: readonly string[]): Writer {
  let next = 0;
  return {
    size: 1,
    width: sql.options.max,
    write: () => beatInTransaction(sql, ids[next++ % ids.length] ?? ""),
  };
}

/** Sets last-seen times, in milliseconds since the epoch, by the agents' small keys. */
export function updateLastSeen(sql: Sql, nos: readonly number[], times: readonly number[]) {
  return sql`update agents a set last_seen_at = to_timestamp(u.ms / 1000)
    from unnest(${nos as number[]}::int[], ${times as number[]}::float8[]) u (no, ms) where a.no = u.no`;
}

/** An UPDATE of the agent and an INSERT of an event, sent at once. */
export function beatInTransaction(sql: Sql, agentId: string) {
  return sql.begin((transaction) => [
    transaction`update agents set status = 'online', last_seen_at = now(), updated_at = now() where id = ${agentId}`,
    transaction`insert into activity_events (id, event_type, message, agent_id)
      values (${randomUUID()}, 'agent.heartbeat', 'Heartbeat received.', ${agentId})`,
  ]);
}

/**
 * Writes for a while, as fast as it goes or at a rate.
 *
 * @param rate heartbeats a second; latencies then count from when each was due
 * @returns heartbeats a second, and the p99 in milliseconds
 */
export async function writeFor(
  { size, width, write }: Writer,
  durationMs: number,
  rate?: number,
): Promise<{ rate: number; p99: number }> {
  const recorder = new Recorder();
  const began = performance.now();
  recorder.begin(began);
  let taken = 0;
  const worker = async () => {
    while (performance.now() - began < durationMs) {
      const place = taken++;
      const due = rate === undefined ? performance.now() : began + (place * size * 1_000) / rate;
      const ahead = due - performance.now();
      if (ahead > 0) await new Promise((resolve) => setTimeout(resolve, ahead));
      await write();
      recorder.acknowledged(due, performance.now(), size);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  const seconds = (performance.now() - began) / 1_000;
  return { rate: recorder.acked / seconds, p99: recorder.latencies().p99 ?? Number.NaN };
}
