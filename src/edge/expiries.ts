import type { Cancel, Clock } from "../clock.ts";

/** How often it is looked whose time is over, in milliseconds. */
const LOOK_MS = 1_000;
/** Cancelled entries that may lie about; beyond, they go as soon as they are more than the others. */
const FEW = 64;

interface Expiry {
  /** Milliseconds since the epoch. */
  at: number;
  /** Undefined: cancelled. */
  end: (() => void) | undefined;
}

/**
 * What ends with its token, the soonest first: a look costs nothing for those whose time has not come, however many there
 * are. A binary heap; an entry's children are at twice its place, plus one and plus two.
 */
export class Expiries {
  #heap: Expiry[] = [];
  #cancelled = 0;
  readonly #clock: Clock;
  readonly #cancelLook: Cancel;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#cancelLook = clock.every(LOOK_MS, () => this.#look());
  }

  /** Entries that are held, cancelled ones among them. */
  get size(): number {
    return this.#heap.length;
  }

  /**
   * Calls `end` once the time is over, at most a second late.
   *
   * @param at milliseconds since the epoch
   */
  add(at: number, end: () => void): Cancel {
    const expiry: Expiry = { at, end };
    this.#push(expiry);
    return () => {
      if (expiry.end === undefined) return;
      expiry.end = undefined;
      this.#cancelled += 1;
      if (this.#cancelled > FEW && this.#cancelled > this.#heap.length / 2) this.#sweep();
    };
  }

  stop(): void {
    this.#cancelLook();
  }

  #look(): void {
    const now = this.#clock.now();
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.#pop();
      const { end } = first;
      first.end = undefined;
      if (end === undefined) this.#cancelled -= 1;
      else end();
    }
  }

  /** Leaves the cancelled ones out. */
  #sweep(): void {
    const kept = this.#heap.filter(({ end }) => end !== undefined);
    this.#heap = [];
    this.#cancelled = 0;
    for (const expiry of kept) this.#push(expiry);
  }

  #push(expiry: Expiry): void {
    let place = this.#heap.push(expiry) - 1;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#heap[above];
      if (parent === undefined || parent.at <= expiry.at) break;
      this.#heap[place] = parent;
      place = above;
    }
    this.#heap[place] = expiry;
  }

  /** Takes the first one out. */
  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    let place = 0;
    for (;;) {
      const left = 2 * place + 1;
      const one = this.#heap[left];
      const other = this.#heap[left + 1];
      const next = other !== undefined && one !== undefined && other.at < one.at ? left + 1 : left;
      const child = next === left ? one : other;
      if (child === undefined || child.at >= last.at) break;
      this.#heap[place] = child;
      place = next;
    }
    this.#heap[place] = last;
  }
}
