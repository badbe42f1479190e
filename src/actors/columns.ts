import { Growth, grown } from "./growth.ts";

/** Bits of the `flags` column. */
export const FLAG = {
  /** A heartbeat changes nothing but last_seen: it may take the short way. */
  restful: 1,
  /** Its last_seen is newer than what Postgres has. */
  dirty: 2,
  /** A live channel carries it. */
  connected: 4,
  managed: 8,
  /** Its newest stored heartbeat stands in the journal, and not yet in its row. */
  journaled: 16,
  /** A heartbeat since the last flush has left its event. */
  logged: 32,
} as const;

const FIRST_CAPACITY = 1_024;

/**
 * What the heartbeat's way and the sweep touch of every agent, as columns of typed arrays: an agent is an index.
 * Times are milliseconds since the epoch, 0 for none.
 */
export class Columns {
  readonly #growth = new Growth(FIRST_CAPACITY, (capacity) => this.#stepsTo(capacity));
  flags = new Uint8Array(FIRST_CAPACITY);
  lastSeen = new Float64Array(FIRST_CAPACITY);
  /** The last_seen that Postgres has: what others may be told. */
  storedSeen = new Float64Array(FIRST_CAPACITY);
  /** Silence longer than this means offline, in milliseconds. */
  offlineAfter = new Float64Array(FIRST_CAPACITY);
  /** How often it beats by its settings, and the longest interval that it may be keeping, in milliseconds; 0: unknown. */
  every = new Float64Array(FIRST_CAPACITY);
  kept = new Float64Array(FIRST_CAPACITY);
  /** When work is to go on. */
  dueAt = new Float64Array(FIRST_CAPACITY);
  /** When its socket was lost. */
  lostAt = new Float64Array(FIRST_CAPACITY);
  /** The agent's small key in Postgres. */
  no = new Int32Array(FIRST_CAPACITY);
  version = new Int32Array(FIRST_CAPACITY);
  generation = new Int32Array(FIRST_CAPACITY);
  /** Positions in STATUSES and WORK_STATES. */
  status = new Uint8Array(FIRST_CAPACITY);
  work = new Uint8Array(FIRST_CAPACITY);

  /** Makes room for the index. */
  reach(index: number): void {
    this.#growth.reach(index);
  }

  #stepsTo(capacity: number): (() => void)[] {
    return [
      () => {
        this.flags = grown(this.flags, new Uint8Array(capacity));
      },
      () => {
        this.lastSeen = grown(this.lastSeen, new Float64Array(capacity));
      },
      () => {
        this.storedSeen = grown(this.storedSeen, new Float64Array(capacity));
      },
      () => {
        this.offlineAfter = grown(this.offlineAfter, new Float64Array(capacity));
      },
      () => {
        this.every = grown(this.every, new Float64Array(capacity));
      },
      () => {
        this.kept = grown(this.kept, new Float64Array(capacity));
      },
      () => {
        this.dueAt = grown(this.dueAt, new Float64Array(capacity));
      },
      () => {
        this.lostAt = grown(this.lostAt, new Float64Array(capacity));
      },
      () => {
        this.no = grown(this.no, new Int32Array(capacity));
      },
      () => {
        this.version = grown(this.version, new Int32Array(capacity));
      },
      () => {
        this.generation = grown(this.generation, new Int32Array(capacity));
      },
      () => {
        this.status = grown(this.status, new Uint8Array(capacity));
      },
      () => {
        this.work = grown(this.work, new Uint8Array(capacity));
      },
    ];
  }

  has(index: number, flag: number): boolean {
    return ((this.flags[index] ?? 0) & flag) !== 0;
  }

  set(index: number, flag: number, on: boolean): void {
    const flags = this.flags[index] ?? 0;
    this.flags[index] = on ? flags | flag : flags & ~flag;
  }

  /** Postgres has this last_seen. */
  stored(index: number, at: number): void {
    if (at > (this.storedSeen[index] ?? 0)) this.storedSeen[index] = at;
  }

  /** Forgets all about an index, for its next holder. */
  clear(index: number): void {
    for (const column of [this.lastSeen, this.storedSeen, this.offlineAfter, this.dueAt, this.lostAt])
      column[index] = 0;
    for (const column of [this.every, this.kept]) column[index] = 0;
    for (const column of [this.flags, this.no]) column[index] = 0;
    for (const column of [this.version, this.generation, this.status, this.work]) column[index] = 0;
  }
}
