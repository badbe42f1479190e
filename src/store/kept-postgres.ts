import { setTimeout as pause } from "node:timers/promises";
import { retryDelay } from "../../machines/backoff.ts";
import type { Log } from "../log.ts";
import { type EmbeddedPostgres, startEmbedded } from "./embedded.ts";

/** One that ran this long was well: the next end counts as the first. */
const WELL_AFTER_MS = 60_000;

/** The embedded Postgres, as long as the server wants it. */
export interface KeptPostgres {
  /** Stays the same over its restarts. */
  url: string;
  /** The process that runs now, or ran last. */
  readonly pid: number;
  stop(): Promise<void>;
}

/**
 * Runs the embedded Postgres and, should it end by itself, starts it again on the same port: at once the first time,
 * then with growing pauses. Rejects, as `startEmbedded` does, only when it cannot be started in the first place.
 */
export async function keepEmbedded({ dataDir, log }: { dataDir: string; log: Log }): Promise<KeptPostgres> {
  const onLog = (line: string) => log.debug(line);
  let current = await startEmbedded({ dataDir, onLog });
  const { url, port } = current;
  const stopping = new AbortController();
  let restarting: Promise<void> | undefined;
  let failures = 0;
  let startedAt = performance.now();

  const watch = ({ exited }: EmbeddedPostgres) => {
    void exited.then((how) => {
      log.error({ ...how }, "Postgres ended by itself; it is started again");
      if (performance.now() - startedAt >= WELL_AFTER_MS) failures = 0;
      restarting = bringBack();
    });
  };

  const bringBack = async () => {
    // It gives its data folder free.
    await current.stop();
    for (; !stopping.signal.aborted; failures += 1) {
      const delay = failures === 0 ? 0 : retryDelay(failures, 0.5 + Math.random() / 2);
      await pause(delay, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
      try {
        current = await startEmbedded({ dataDir, onLog, port });
      } catch (error) {
        log.error({ err: error }, "Postgres could not be started again; it is tried once more");
        continue;
      }
      failures += 1;
      startedAt = performance.now();
      log.info("Postgres runs again");
      watch(current);
      return;
    }
  };

  watch(current);
  return {
    url,
    get pid() {
      return current.pid;
    },
    async stop() {
      stopping.abort();
      await restarting;
      await current.stop();
    },
  };
}
