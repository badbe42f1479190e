import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { MusterError } from "../protocol/errors.ts";
import type { Change, Committed } from "./changes.ts";
import { type Database, isPassing, isUnavailable } from "./database.ts";
import { readOutcomes } from "./outcome.ts";
import { type BeatBatch, writeBeats } from "./presence.ts";
import { refusalOf } from "./refusals.ts";
import { StaleChange, writeChanges } from "./write-changes.ts";

/** Most changes in one transaction: more wait for the next. */
const MAX_GROUP = 1_000;
/** How often an unreachable Postgres is asked whether it is back, in milliseconds. */
const PROBE_MS = 250;
const NOT_KNOWN =
  "The connection to the database was lost on the way: look whether it was done, then try again.";

/** Where the committer takes heartbeats from: what came since the last time, or null. */
export type TakeBeats = () => BeatBatch | null;

/**
 * The only writer of the agents' lifecycle. Gathers changes and heartbeats and commits them in groups.
 * While Postgres is away it takes nothing new, and heartbeats stay with their source, merged per agent.
 */
export interface Committer {
  /**
   * Resolves when the change is in Postgres. Rejects with MusterError: `unavailable` (nothing was done), or Postgres'
   * refusal of this change alone; with StaleChange when the agent was not at the version it started from.
   */
  commit(change: Change): Promise<Committed>;
  /** There are heartbeats to take. */
  beatsWait(): void;
  readonly available: boolean;
  /** Called each time that Postgres is back. */
  onAvailable(listener: () => void): void;
  /** Commits what waits, then takes nothing more. */
  stop(): Promise<void>;
}

interface Entry {
  change: Change;
  resolve(committed: Committed): void;
  reject(error: unknown): void;
}

export function createCommitter({
  database,
  intervalMs,
  takeBeats,
  metrics,
  log,
}: {
  database: Database;
  intervalMs: number;
  takeBeats: TakeBeats;
  metrics: Pick<Metrics, "commits" | "commitDuration" | "commitRows">;
  log: Log;
}): Committer {
  const waiting: Entry[] = [];
  let beatsWaiting = false;
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> | undefined;
  let available = true;
  let stopped = false;
  const listeners: (() => void)[] = [];
  /** Groups that wait to learn what became of them. */
  const returns: (() => void)[] = [];

  const schedule = () => {
    if (flushing || !available || (waiting.length === 0 && !beatsWaiting)) return;
    if (waiting.length >= MAX_GROUP) {
      clearTimeout(timer);
      timer = undefined;
      start();
    } else timer ??= setTimeout(start, intervalMs);
  };

  const start = () => {
    timer = undefined;
    flushing = flush().finally(() => {
      flushing = undefined;
      schedule();
    });
  };

  const flush = async () => {
    const group = waiting.splice(0, MAX_GROUP);
    if (group.length > 0) await commitGroup(group);
    // One after the other: both write presence, and side by side they would lock its rows in two orders.
    if (!beatsWaiting || !available) return;
    beatsWaiting = false;
    const beats = takeBeats();
    if (beats) await commitBeats(beats);
  };

  const commitBeats = async (beats: BeatBatch) => {
    const stopwatch = metrics.commitDuration.startTimer();
    try {
      const refused = await writeBeats(database, beats);
      for (const error of refused)
        log.error({ err: error }, "a report in a heartbeat was refused by Postgres and is dropped");
      metrics.commits.inc();
      metrics.commitRows.observe(beats.count);
      stopwatch();
      beats.committed();
    } catch (error) {
      beats.failed();
      beatsWaiting = true;
      if (!isPassing(error)) lost(error);
    }
  };

  const commitGroup = async (group: Entry[]): Promise<void> => {
    const stopwatch = metrics.commitDuration.startTimer();
    let sent = false;
    try {
      const results = await database.begin(async (transaction) => {
        const written = await writeChanges(
          transaction,
          group.map(({ change }) => change),
        );
        sent = true;
        return written;
      });
      metrics.commits.inc();
      metrics.commitRows.observe(group.length);
      stopwatch();
      group.forEach((entry, position) => {
        const result = results[position];
        if (result === undefined || result instanceof StaleChange) entry.reject(result);
        else entry.resolve(result);
      });
    } catch (error) {
      if (isUnavailable(error)) {
        lost(error);
        if (sent) await settleUnknown(group);
        else for (const entry of group) entry.reject(unavailable(error));
      } else if (isPassing(error)) await commitGroup(group);
      else if (group.length > 1) await commitApart(group);
      else for (const entry of group) entry.reject(refusalOf(error) ?? error);
    }
  };

  /** Something in the group was refused: what is known to be harmless stays together, the rest goes one by one. */
  const commitApart = async (group: Entry[]) => {
    const isPlain = ({ change }: Entry) =>
      change.kind === "transition" && !change.fields && !change.token && !change.also;
    const plain = group.filter(isPlain);
    if (plain.length > 0 && plain.length < group.length) await commitGroup(plain);
    else for (const entry of plain) await commitGroup([entry]);
    for (const entry of group) if (!isPlain(entry)) await commitGroup([entry]);
  };

  /** The connection was lost while COMMIT was under way: it may have been carried out. Once Postgres is back, it tells. */
  const settleUnknown = async (group: Entry[]): Promise<void> => {
    if (!available && !stopped) await new Promise<void>((resolve) => returns.push(resolve));
    try {
      const outcomes = await readOutcomes(
        database,
        group.map(({ change }) => change),
      );
      group.forEach(({ resolve, reject }, position) => {
        const outcome = outcomes[position];
        if (outcome) resolve(outcome);
        else reject(unavailable(undefined));
      });
    } catch (error) {
      lost(error);
      if (!stopped) return settleUnknown(group);
      for (const { reject } of group) reject(new MusterError("unavailable", NOT_KNOWN, {}, { cause: error }));
    }
  };

  const lost = (error: unknown) => {
    if (!available) return;
    available = false;
    for (const entry of waiting.splice(0)) entry.reject(unavailable(error));
    log.warn({ err: error }, "Postgres is away: nothing moves until it is back");
    setTimeout(probe, PROBE_MS).unref();
  };

  const probe = async () => {
    try {
      await database`select 1`;
    } catch {
      if (!stopped) setTimeout(probe, PROBE_MS).unref();
      return;
    }
    available = true;
    log.info("Postgres is back");
    for (const resolve of returns.splice(0)) resolve();
    for (const listener of listeners) listener();
    schedule();
  };

  return {
    commit: (change) =>
      new Promise((resolve, reject) => {
        if (!available || stopped) return reject(unavailable(undefined));
        waiting.push({ change, resolve, reject });
        schedule();
      }),
    beatsWait() {
      if (beatsWaiting) return;
      beatsWaiting = true;
      schedule();
    },
    get available() {
      // What waits for it to be available again must not try in a tight loop after the end.
      return available && !stopped;
    },
    onAvailable: (listener) => listeners.push(listener),
    async stop() {
      stopped = true;
      clearTimeout(timer);
      timer = undefined;
      // What waits for Postgres to come back waits no longer.
      for (const resolve of returns.splice(0)) resolve();
      await flushing;
      while (available && (waiting.length > 0 || beatsWaiting)) await flush();
    },
  };
}

function unavailable(cause: unknown): MusterError {
  return new MusterError(
    "unavailable",
    "The database is away; nothing was done. Try again in a moment.",
    {},
    { cause },
  );
}
