import type { Log } from "../log.ts";
import type { Database } from "./database.ts";

/** How often an unreachable Postgres is asked whether it is back, in milliseconds. */
const PROBE_MS = 250;

/** Whether Postgres can be reached. Whoever finds that it cannot says so; from then on it is asked until it is back. */
export class Availability {
  readonly #database: Database;
  readonly #log: Log;
  readonly #onLost: ((error: unknown) => void)[] = [];
  readonly #onBack: (() => void)[] = [];
  #isAway = false;
  #isStopped = false;

  constructor(database: Database, log: Log) {
    this.#database = database;
    this.#log = log;
  }

  get isAway(): boolean {
    return this.#isAway;
  }

  /** Each is told once for every time that Postgres goes away, and comes back, in the order in which they asked for it. */
  watch({ onLost = () => {}, onBack }: { onLost?: (error: unknown) => void; onBack: () => void }): void {
    this.#onLost.push(onLost);
    this.#onBack.push(onBack);
  }

  /** A query has failed because Postgres is away. */
  lost(error: unknown): void {
    if (this.#isAway) return;
    this.#isAway = true;
    for (const tell of this.#onLost) tell(error);
    this.#log.warn({ err: error }, "Postgres is away: nothing moves until it is back");
    setTimeout(() => this.#probe(), PROBE_MS).unref();
  }

  /** It is asked no more. */
  stop(): void {
    this.#isStopped = true;
  }

  async #probe(): Promise<void> {
    try {
      await this.#database`select 1`;
    } catch {
      if (!this.#isStopped) setTimeout(() => this.#probe(), PROBE_MS).unref();
      return;
    }
    this.#isAway = false;
    this.#log.info("Postgres is back");
    for (const tell of this.#onBack) tell();
  }
}
