import { setTimeout as pause } from "node:timers/promises";
import type { Keys } from "./auth/keys.ts";
import type { Seal } from "./auth/seal.ts";
import type { Log } from "./log.ts";
import { type Database, isUnavailable } from "./store/database.ts";
import { SEALED_COLUMNS, type SealedColumn, type SealedRow } from "./store/sealed-rows.ts";
import { readSetting, writeSetting } from "./store/settings.ts";

/** Rows that are read at a time. */
const SLICE = 200;
/** How soon it goes on when Postgres was away, in milliseconds. */
const RETRY_MS = 1_000;
/** Names that a line of the log tells. */
const MOST_NAMES = 20;
/** Which key everything in the database is sealed with, once that is so. */
const SEALED_WITH = "sealed_with";

interface Needs {
  database: Database;
  seal: Seal;
  keys: Keys;
  /** An earlier key was given too. */
  hasOldKey: boolean;
  log: Log;
}

/**
 * Seals anew, beside everything else, what was sealed with an earlier key or in an earlier way, so that these are not needed
 * any more. What no key opens stays as it is, and is told by name at every start. Where all has been done, nothing is read.
 *
 * @returns ends it, once the slice under way is done
 */
export function startResealing(needs: Needs): () => Promise<void> {
  const ending = new AbortController();
  const run = resealAll(needs, ending.signal).catch((error) => {
    if (!ending.signal.aborted)
      needs.log.error({ err: error }, "sealed values were not all sealed anew; the next start tries again");
  });
  return async () => {
    ending.abort();
    await run;
  };
}

async function resealAll(
  { database, seal, keys, hasOldKey, log }: Needs,
  signal: AbortSignal,
): Promise<void> {
  const done = () => {
    if (hasOldKey)
      log.info(
        "all sealed values open with the present secret key: MUSTER_SECRET_KEY_OLD is not needed any more",
      );
  };
  const persist = <T>(work: () => Promise<T>) => untilReachable(work, signal);
  if ((await persist(() => readSetting(database, SEALED_WITH))) === keys.fingerprint) return done();
  let renewed = 0;
  let lost = 0;
  for (const column of SEALED_COLUMNS) {
    const unreadable: SealedRow[] = [];
    for await (const row of rowsOf(column, database, persist)) {
      const fresh = seal.renew(row.sealed, row.place);
      if (fresh === undefined) unreadable.push(row);
      else if (fresh !== "current") {
        await persist(() => column.replace(database, row, fresh));
        renewed += 1;
      }
    }
    lost += unreadable.length;
    if (unreadable.length > 0) log.warn(told(unreadable), `${column.what} cannot be read: ${WHY}`);
  }
  if (renewed > 0) log.info({ renewed }, "values that were sealed earlier were sealed anew");
  if (lost > 0) return;
  await persist(() => writeSetting(database, SEALED_WITH, keys.fingerprint));
  done();
}

const WHY =
  "they were sealed with another secret key. Start with that one as MUSTER_SECRET_KEY_OLD, or give them anew";

function told(rows: readonly SealedRow[]): object {
  const names = rows.flatMap(({ name }) => name ?? []).slice(0, MOST_NAMES);
  return { count: rows.length, ...(names.length > 0 ? { names } : {}) };
}

async function* rowsOf(
  column: SealedColumn,
  database: Database,
  persist: <T>(work: () => Promise<T>) => Promise<T>,
): AsyncGenerator<SealedRow> {
  let last: SealedRow | undefined;
  do {
    const rows = await persist(() => column.read(database, last, SLICE));
    yield* rows;
    last = rows.length === SLICE ? rows.at(-1) : undefined;
  } while (last !== undefined);
}

/** Again and again while Postgres is away. */
async function untilReachable<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      await pause(RETRY_MS, undefined, { signal });
    }
  }
}
