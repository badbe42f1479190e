import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { ActivityRow } from "./activity.ts";
import type { Availability } from "./availability.ts";
import { type BeatEvents, insertBeatEvents } from "./beat-events.ts";
import { type Database, isPassing } from "./database.ts";
import { appendHeartbeats } from "./heartbeat-journal.ts";
import { Pace } from "./pace.ts";
import { type KeyedReport, writeReports } from "./presence.ts";

/** Heartbeats on their way to Postgres, merged per agent. */
export interface BeatBatch {
  /** The agents' small keys, and when each was last seen in milliseconds since the epoch. */
  readonly nos: Int32Array;
  readonly times: Float64Array;
  /** What some of them reported of themselves. */
  readonly reports: readonly KeyedReport[];
  /** Those that are to leave an event each; null: none. */
  readonly events: BeatEvents | null;
  /** Whether somebody is to be told of the events. */
  readonly isTold: boolean;
  /**
   * Postgres has them all. `seq`: the place of the times in the journal, null where the batch had none; `events`: the new
   * ones, where somebody is to be told of them.
   */
  committed(seq: number | null, events: readonly ActivityRow[]): void;
  /** Postgres has none for certain: they are to be taken again. */
  failed(): void;
}

/** Where heartbeats are taken from. */
export interface BeatSource {
  /** What came since the last time, or null. */
  take(): BeatBatch | null;
  /** Agents whose heartbeats wait. */
  readonly waiting: number;
}

/** With so many a commit is worth its price at once; waiting would make only those wait who are in it. */
const LARGE = 1_000;

/** Commits heartbeats in groups, beside the groups of transitions: neither waits for the other. */
export interface HeartbeatWriter {
  /** There are heartbeats to take. */
  wake(): void;
  /** Commits what waits, then takes nothing more. */
  stop(): Promise<void>;
}

export function createHeartbeatWriter({
  database,
  availability,
  intervalMs,
  beats,
  alone,
  metrics,
  log,
}: {
  database: Database;
  availability: Availability;
  intervalMs: number;
  beats: BeatSource;
  /** Runs work while nobody else writes rows of agents: two who write the same rows in two orders lock each other out. */
  alone: <T>(work: () => Promise<T>) => Promise<T>;
  metrics: Pick<Metrics, "commits" | "commitDuration" | "commitRows">;
  log: Log;
}): HeartbeatWriter {
  let isWaiting = false;

  const flush = async () => {
    isWaiting = false;
    const batch = beats.take();
    if (batch) await commit(batch);
  };

  const commit = async (batch: BeatBatch) => {
    const stopwatch = metrics.commitDuration.startTimer();
    let committed: () => void;
    try {
      const { nos, times, reports, events, isTold } = batch;
      const seq = nos.length === 0 ? null : await appendHeartbeats(database, nos, times);
      const entries = events ? await insertBeatEvents(database, events, isTold) : [];
      const refused = reports.length === 0 ? [] : await alone(() => writeReports(database, reports));
      for (const error of refused)
        log.error({ err: error }, "a report in a heartbeat was refused by Postgres and is dropped");
      metrics.commits.inc();
      metrics.commitRows.observe(nos.length);
      stopwatch();
      committed = () => batch.committed(seq, entries);
    } catch (error) {
      batch.failed();
      isWaiting = true;
      if (!isPassing(error)) availability.lost(error);
      return;
    }
    try {
      committed();
    } catch (error) {
      // A fault of whoever is told. Postgres has the batch, and is not away for it.
      log.error({ err: error }, "what was committed could not be told");
    }
  };

  const pace = new Pace({
    intervalMs,
    isDue: () => isWaiting && !availability.isAway,
    isFull: () => beats.waiting >= LARGE,
    flush,
  });
  availability.watch({ onBack: () => pace.wake() });

  return {
    wake() {
      if (isWaiting) return;
      isWaiting = true;
      pace.wake();
    },
    async stop() {
      await pace.stop();
      while (isWaiting && !availability.isAway) await flush();
    },
  };
}
