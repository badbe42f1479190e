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

/** Where heartbeats are taken from: what came since the last time, or null. */
export type TakeBeats = () => BeatBatch | null;

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
  takeBeats,
  alone,
  metrics,
  log,
}: {
  database: Database;
  availability: Availability;
  intervalMs: number;
  takeBeats: TakeBeats;
  /** Runs work while nobody else writes rows of agents: two who write the same rows in two orders lock each other out. */
  alone: <T>(work: () => Promise<T>) => Promise<T>;
  metrics: Pick<Metrics, "commits" | "commitDuration" | "commitRows">;
  log: Log;
}): HeartbeatWriter {
  let isWaiting = false;

  const flush = async () => {
    isWaiting = false;
    const beats = takeBeats();
    if (beats) await commit(beats);
  };

  const commit = async (beats: BeatBatch) => {
    const stopwatch = metrics.commitDuration.startTimer();
    try {
      const { nos, times, reports, events, isTold } = beats;
      const seq = nos.length === 0 ? null : await appendHeartbeats(database, nos, times);
      const entries = events ? await insertBeatEvents(database, events, isTold) : [];
      const refused = reports.length === 0 ? [] : await alone(() => writeReports(database, reports));
      for (const error of refused)
        log.error({ err: error }, "a report in a heartbeat was refused by Postgres and is dropped");
      metrics.commits.inc();
      metrics.commitRows.observe(nos.length);
      stopwatch();
      beats.committed(seq, entries);
    } catch (error) {
      beats.failed();
      isWaiting = true;
      if (!isPassing(error)) availability.lost(error);
    }
  };

  const pace = new Pace({
    intervalMs,
    isDue: () => isWaiting && !availability.isAway,
    isFull: () => false,
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
