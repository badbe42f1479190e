import type { Cancel, Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { Database } from "../store/database.ts";
import { dropHeartbeats } from "../store/heartbeat-journal.ts";
import { writeLastSeen } from "../store/presence.ts";
import { FLAG } from "./columns.ts";
import { IndexList } from "./index-list.ts";
import type { Registry } from "./registry.ts";

/** How often the journal's heartbeats are carried over at least, in milliseconds. */
export const CHECKPOINT_MS = 60_000;
/** Heartbeats in the journal with which it is time at once: some 60 MB. */
const MOST_JOURNALED = 5_000_000;
/** Agents written by one statement. It takes some milliseconds, for which transitions wait. */
const SLICE = 1_000;
/** A slice is followed by a rest of so many times what it took: a checkpoint leaves the machine to others. */
const REST = 2;

/**
 * Carries heartbeats from the journal over to the agents' rows, where each agent has its last one only, and drops what
 * of the journal is there. So a row is written once a minute, however often its agent beats.
 */
export class Checkpoint {
  readonly #registry: Registry;
  readonly #database: Database;
  readonly #alone: <T>(work: () => Promise<T>) => Promise<T>;
  readonly #log: Log;
  readonly #cancel: Cancel;
  readonly #journaled = new IndexList();
  /** Rows of the journal whose agents were all noted, and the heartbeats in them. */
  #rows = new Set<number>();
  #count = 0;
  #running: Promise<void> | undefined;
  #isStopped = false;
  #wakeUp = () => {};

  /** @param alone runs work while nobody else writes rows of agents */
  constructor(parts: {
    registry: Registry;
    database: Database;
    clock: Clock;
    alone: <T>(work: () => Promise<T>) => Promise<T>;
    log: Log;
  }) {
    this.#registry = parts.registry;
    this.#database = parts.database;
    this.#alone = parts.alone;
    this.#log = parts.log;
    this.#cancel = parts.clock.every(CHECKPOINT_MS, () => this.#start());
  }

  /** Heartbeats in the journal since the last checkpoint began. */
  get waiting(): number {
    return this.#count;
  }

  /** A heartbeat of the agent stands in the journal now. `reached` is told of its row in the same turn. */
  note(index: number): void {
    this.#count += 1;
    const { flags } = this.#registry.columns;
    const before = flags[index] ?? 0;
    if ((before & FLAG.journaled) !== 0) return;
    flags[index] = before | FLAG.journaled;
    this.#journaled.push(index);
  }

  /** The journal has this row. Those who wrote it without learning of it leave it there until the next start. */
  reached(seq: number): void {
    this.#rows.add(seq);
    if (this.#count >= MOST_JOURNALED) this.#start();
  }

  /** Nothing more is written. Resolves when what is under way has ended; the rest is in the journal. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel();
    this.#wakeUp();
    await this.#running;
  }

  #start(): void {
    if (this.#running || this.#isStopped || this.#rows.size === 0) return;
    this.#running = this.#run()
      .catch((error) => this.#log.warn({ err: error }, "a checkpoint failed; the next one makes up for it"))
      .finally(() => {
        this.#running = undefined;
      });
  }

  async #run(): Promise<void> {
    // All agents of a row are noted in one turn of the loop, and this may be in the middle of it.
    await new Promise((resolve) => setImmediate(resolve));
    const rows = this.#rows;
    this.#rows = new Set();
    this.#count = 0;
    const { columns } = this.#registry;
    // By key, as the rows lie on the disk.
    const indexes = this.#journaled
      .take(this.#journaled.length)
      .sort((one, other) => (columns.no[one] ?? 0) - (columns.no[other] ?? 0));
    for (let first = 0; first < indexes.length; first += SLICE) {
      const slice = indexes.subarray(first, first + SLICE);
      const began = performance.now();
      try {
        await this.#alone(() => this.#write(slice));
      } catch (error) {
        for (const index of indexes.subarray(first)) {
          columns.set(index, FLAG.journaled, false);
          if (this.#registry.idOf(index) !== undefined) this.note(index);
        }
        for (const seq of rows) this.#rows.add(seq);
        throw error;
      }
      await this.#rest((performance.now() - began) * REST);
      if (this.#isStopped) return;
    }
    await dropHeartbeats(this.#database, [...rows]);
  }

  async #write(slice: Int32Array): Promise<void> {
    const { columns } = this.#registry;
    const nos: number[] = [];
    const times: number[] = [];
    for (const index of slice) {
      // Its agent is gone, or another that has its index now was noted by itself.
      if (!columns.has(index, FLAG.journaled)) continue;
      columns.set(index, FLAG.journaled, false);
      nos.push(columns.no[index] ?? 0);
      times.push(columns.storedSeen[index] ?? 0);
    }
    if (nos.length > 0) await writeLastSeen(this.#database, nos, times);
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.#wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
