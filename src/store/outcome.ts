import { setTimeout as pause } from "node:timers/promises";
import type { Change, Committed } from "./changes.ts";
import type { Queries } from "./database.ts";

const LOOK_EVERY_MS = 20;

/**
 * Finds out what became of changes whose COMMIT was sent and never answered.
 *
 * @returns for each change, in order, what it became, or null: it is not in Postgres, and never will be
 */
export async function readOutcomes(
  database: Queries,
  changes: readonly Change[],
): Promise<(Committed | null)[]> {
  await untilOver(database);
  const ids = changes.map(({ agentId }) => agentId);
  const marks = changes.flatMap(({ events }) => events.slice(0, 1));
  const agents = await database<{ id: string; no: number; version: number }[]>`
    select id, no, version from agents where id = any(${ids}::uuid[])`;
  const present = await database<{ id: string }[]>`
    select e.id from activity e
    join unnest(
      ${marks.map(({ id }) => id)}::uuid[], ${marks.map((event) => event.created_at.toISOString())}::timestamptz[]
    ) mark (id, at) on e.created_at = mark.at and e.id = mark.id`;
  const rows = new Map(agents.map((row) => [row.id, row]));
  const marked = new Set(present.map(({ id }) => id));
  return changes.map((change) => {
    const [event] = change.events;
    // An entry in the log proves its own transaction; without one, only the agent's row can tell.
    if (event && !marked.has(event.id)) return null;
    return outcomeOf(change, rows.get(change.agentId), event !== undefined);
  });
}

function outcomeOf(
  change: Change,
  row: { no: number; version: number } | undefined,
  isProven: boolean,
): Committed | null {
  switch (change.kind) {
    case "insert":
      return row ? { version: row.version, no: row.no, seq: null } : null;
    case "transition":
      return isProven || (row && row.version > change.fromVersion)
        ? { version: change.fromVersion + 1, no: null, seq: null }
        : null;
    case "removal":
      return row ? null : { version: 0, no: null, seq: null };
    case "remark":
      // Without an entry it was a last_seen at most, which may be written twice.
      return isProven ? { version: null, no: null, seq: null } : null;
  }
}

/**
 * Waits for the end of every transaction that was open on this database: a COMMIT may have reached Postgres without
 * having been carried out yet. One whose COMMIT never arrived would stay open for hours, so it is ended.
 */
async function untilOver(database: Queries): Promise<void> {
  let awaited: string[] | null = null;
  for (;;) {
    const open: { xid: string }[] = await database`
      select backend_xid::text as xid,
        case when application_name = 'muster' and state like 'idle in transaction%'
          and state_change < clock_timestamp() - interval '10 seconds' then pg_terminate_backend(pid) end
      from pg_stat_activity
      where datname = current_database() and application_name = 'muster' and backend_xid is not null
        and pid <> pg_backend_pid() and (${awaited}::text[] is null or backend_xid::text = any(${awaited}::text[]))`;
    if (open.length === 0) return;
    awaited = open.map(({ xid }) => xid);
    await pause(LOOK_EVERY_MS);
  }
}
