import { setImmediate as nextTurn } from "node:timers/promises";
import { Limiter } from "../limiter.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { MusterError } from "../protocol/errors.ts";
import { Availability } from "./availability.ts";
import type { Change, Committed } from "./changes.ts";
import { type Database, isPassing, isUnavailable } from "./database.ts";
import { type BeatSource, createHeartbeatWriter } from "./heartbeat-writer.ts";
import { readOutcomes } from "./outcome.ts";
import { Pace } from "./pace.ts";
import { refusalOf } from "./refusals.ts";
import { StaleChange, writeChanges } from "./write-changes.ts";

/** Most changes in one transaction: more wait for the next. */
const MAX_GROUP = 500;
/**
 * Changes whose end is told in one turn of the loop. What follows from 500 of them takes longer than Postgres does: the
 * next group goes there meanwhile, and nobody else waits for all of it.
 */
const TOLD_A_TURN = 50;
const NOT_KNOWN =
  "The connection to the database was lost on the way: look whether it was done, then try again.";

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
  /** Runs work that writes rows of agents, while no group and no other such work does. */
  alone<T>(work: () => Promise<T>): Promise<T>;
  readonly available: boolean;
  /** Changes that wait for the next group. */
  readonly waiting: number;
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
  beats,
  metrics,
  log,
}: {
  database: Database;
  intervalMs: number;
  beats: BeatSource;
  metrics: Pick<Metrics, "commits" | "commitDuration" | "commitRows">;
  log: Log;
}): Committer {
  const availability = new Availability(database, log);
  const limiter = new Limiter();
  const waiting: Entry[] = [];
  let stopped = false;
  /** Groups that are in Postgres, and are being told so. */
  const telling = new Set<Promise<void>>();
  /** Groups that wait to learn what became of them. */
  const returns: (() => void)[] = [];

  const alone = <T>(work: () => Promise<T>) => limiter.run("agents' rows", 1, work);
  const flush = () =>
    alone(async () => {
      const group = waiting.splice(0, MAX_GROUP);
      if (group.length > 0) await commitGroup(group);
    });
  const pace = new Pace({
    intervalMs,
    isDue: () => waiting.length > 0 && !availability.isAway,
    isFull: () => waiting.length >= MAX_GROUP,
    flush,
  });
  const heartbeats = createHeartbeatWriter({
    database,
    availability,
    intervalMs,
    beats,
    alone,
    metrics,
    log,
  });
  availability.watch({
    onLost: (error) => {
      for (const entry of waiting.splice(0)) entry.reject(unavailable(error));
    },
    onBack: () => {
      for (const resolve of returns.splice(0)) resolve();
      pace.wake();
    },
  });

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
      const told = tell(group, results);
      telling.add(told);
      told
        .catch((error) => log.error({ err: error }, "what was committed could not be told"))
        .finally(() => telling.delete(told));
    } catch (error) {
      if (isUnavailable(error)) {
        availability.lost(error);
        if (sent) await settleUnknown(group);
        else for (const entry of group) entry.reject(unavailable(error));
      } else if (isPassing(error)) await commitGroup(group);
      else if (group.length > 1) await commitApart(group);
      else for (const entry of group) entry.reject(refusalOf(error) ?? error);
    }
  };

  const tell = async (group: Entry[], results: readonly (Committed | StaleChange)[]): Promise<void> => {
    for (const [position, { resolve, reject }] of group.entries()) {
      if (position > 0 && position % TOLD_A_TURN === 0) await nextTurn();
      const result = results[position];
      if (result === undefined || result instanceof StaleChange) reject(result);
      else resolve(result);
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
    if (availability.isAway && !stopped) await new Promise<void>((resolve) => returns.push(resolve));
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
      availability.lost(error);
      if (!stopped) return settleUnknown(group);
      for (const { reject } of group) reject(new MusterError("unavailable", NOT_KNOWN, {}, { cause: error }));
    }
  };

  return {
    commit: (change) =>
      new Promise((resolve, reject) => {
        if (availability.isAway || stopped) return reject(unavailable(undefined));
        waiting.push({ change, resolve, reject });
        pace.wake();
      }),
    beatsWait: () => heartbeats.wake(),
    alone,
    get available() {
      // What waits for it to be available again must not try in a tight loop after the end.
      return !availability.isAway && !stopped;
    },
    get waiting() {
      return waiting.length;
    },
    onAvailable: (onBack) => availability.watch({ onBack }),
    async stop() {
      stopped = true;
      availability.stop();
      // What waits for Postgres to come back waits no longer.
      for (const resolve of returns.splice(0)) resolve();
      await pace.stop();
      while (!availability.isAway && waiting.length > 0) await flush();
      await Promise.all(telling);
      await heartbeats.stop();
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
