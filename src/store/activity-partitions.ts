import type { Database, Queries, Transaction } from "./database.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Days that are there before they begin. */
const DAYS_AHEAD = 3;
/** How long others may have to wait behind us, in milliseconds: for a lock, and for all that is done under it. */
const LOCK_TIMEOUT_MS = 200;
const STATEMENT_TIMEOUT_MS = 2_000;

/** A part of the activity log: entries from `from` on and before `until`. */
interface Partition {
  name: string;
  from: Date;
  until: Date;
}

/**
 * Makes the partitions of the activity log for the day (UTC) of `now` and the next ones, where they are missing. Entries
 * are written and read meanwhile. Of a day that has begun in the default partition only the rest is made.
 *
 * @returns the names of those made now
 * @throws AggregateError when some could not be made, once all have been tried: their entries go to the default
 *   partition, and a later call may succeed
 */
export async function makeActivityPartitions(database: Database, now: Date): Promise<string[]> {
  const present = await readPartitions(database);
  const today = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
  const made: string[] = [];
  const failures: unknown[] = [];
  for (let day = today; day <= today + DAYS_AHEAD * DAY_MS; day += DAY_MS) {
    const [from, until] = [new Date(day), new Date(day + DAY_MS)];
    if (present.some((other) => other.from < until && other.until > from)) continue;
    try {
      const name = await makePartition(database, { from, until }, now);
      if (name !== null) made.push(name);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0)
    throw new AggregateError(failures, "some days of the activity log could not be made");
  return made;
}

/**
 * Drops the partitions whose entries are all older than `keptMs`, and empties the default partition once that is true of
 * all that is in it. Both clocks have to say so, the one that told `now` and Postgres' own: one that runs wrong must not
 * cost the log.
 *
 * @returns the names of those dropped or emptied
 * @throws what Postgres said, also when others held a partition for too long; a later call goes on
 */
export async function dropOldActivity(database: Database, now: Date, keptMs: number): Promise<string[]> {
  const [clock] = await database<{ now: Date }[]>`select least(${now}::timestamptz, now()) as now`;
  const before = new Date(Math.max(0, (clock ?? { now }).now.getTime() - keptMs));
  const dropped: string[] = [];
  for (const { name, until } of await readPartitions(database)) {
    if (until > before) continue;
    await briefly(database, (transaction) => transaction`drop table ${transaction(name)}`);
    dropped.push(name);
  }
  if (await isDefaultOlderThan(database, before)) {
    const emptied = await briefly(database, async (transaction) => {
      await transaction`lock table activity_default in access exclusive mode`;
      if (!(await isDefaultOlderThan(transaction, before))) return false;
      await transaction`truncate activity_default`;
      return true;
    });
    if (emptied) dropped.push("activity_default");
  }
  return dropped;
}

/** All but the default one, from Postgres' own catalogue. */
async function readPartitions(database: Queries): Promise<Partition[]> {
  return database<Partition[]>`
    select c.relname as name, bound[1]::timestamptz as from, bound[2]::timestamptz as until
    from pg_inherits i join pg_class c on c.oid = i.inhrelid,
      regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\(''(.+)''\\) TO \\(''(.+)''\\)') bound
    where i.inhparent = 'activity'::regclass and bound is not null
    order by 2`;
}

async function makePartition(
  database: Database,
  day: { from: Date; until: Date },
  now: Date,
): Promise<string | null> {
  const from = await beginningOf(database, day, now);
  if (from >= day.until) return null;
  const name = `activity_${day.from.toISOString().slice(0, 10).replaceAll("-", "")}`;
  // Attached, because one that is made in its place would lock out everybody; the default one is looked through for
  // entries that belong to the new one, which is quick as long as it holds few.
  await briefly(database, async (transaction) => {
    await transaction`create table ${transaction(name)} (like activity including defaults)`;
    await transaction.unsafe(
      `alter table activity attach partition ${name}
       for values from ('${from.toISOString()}') to ('${day.until.toISOString()}')`,
    );
  });
  return name;
}

/** Where a day's partition can begin: after what the default one has of it, and what it may get in the next moments. */
async function beginningOf(
  database: Queries,
  { from, until }: { from: Date; until: Date },
  now: Date,
): Promise<Date> {
  const [last] = await database<{ at: Date | null }[]>`
    select max(created_at) as at from activity_default where created_at >= ${from} and created_at < ${until}`;
  if (!last?.at) return from;
  const latest = Math.max(last.at.getTime(), now.getTime());
  return new Date((Math.ceil(latest / MINUTE_MS) + 1) * MINUTE_MS);
}

/** Whether the default partition has entries, and all are from before that time. */
async function isDefaultOlderThan(database: Queries, before: Date): Promise<boolean> {
  const [newest] = await database<{ old: boolean | null }[]>`
    select max(created_at) < ${before} as old from activity_default`;
  return newest?.old ?? false;
}

/** A transaction that gives up rather than keeps others waiting. */
function briefly<T>(database: Database, act: (transaction: Transaction) => Promise<T>) {
  return database.begin(async (transaction) => {
    await transaction.unsafe(
      `set local lock_timeout = ${LOCK_TIMEOUT_MS}; set local statement_timeout = ${STATEMENT_TIMEOUT_MS}`,
    );
    return act(transaction);
  });
}
