import { LoopLoad } from "../loop-load.ts";

/**
 * Spaces groups of work: one at a time, and so that at least the interval lies between the beginnings of two. What comes
 * after a rest goes at once; what comes under load is gathered meanwhile, so groups grow with the load. Where the
 * loop has no time to spare, a group is followed by a rest as long as it took, of an interval at most: each has its price
 * whatever its size, and where that is paid one after the other, little is left for those who are waited for.
 */
export class Pace {
  readonly #intervalMs: number;
  readonly #isDue: () => boolean;
  readonly #isFull: () => boolean;
  readonly #flush: () => Promise<void>;
  readonly #load = new LoopLoad();
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #flushing: Promise<void> | undefined;
  #begunAt = Number.NEGATIVE_INFINITY;
  /** The end of the rest. */
  #restsUntil = Number.NEGATIVE_INFINITY;
  #isStopped = false;

  constructor(parts: {
    intervalMs: number;
    /** Whether there is something to flush, and it can be. */
    isDue: () => boolean;
    /** Whether there is so much that waiting gathers no larger group. */
    isFull: () => boolean;
    flush: () => Promise<void>;
  }) {
    this.#intervalMs = parts.intervalMs;
    this.#isDue = parts.isDue;
    this.#isFull = parts.isFull;
    this.#flush = parts.flush;
  }

  /** There may be something to flush. */
  wake(): void {
    if (this.#isStopped || this.#flushing || this.#immediate || !this.#isDue()) return;
    const wait = this.#isFull()
      ? 0
      : Math.max(this.#begunAt + this.#intervalMs, this.#restsUntil) - performance.now();
    if (wait <= 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      // What comes in the same turn goes along.
      this.#immediate = setImmediate(() => this.#start());
    } else this.#timer ??= setTimeout(() => this.#start(), wait);
  }

  /** Nothing is begun any more. Resolves when what is under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    await this.#flushing;
  }

  #start(): void {
    this.#timer = undefined;
    this.#immediate = undefined;
    this.#begunAt = performance.now();
    this.#flushing = this.#flush().finally(() => {
      this.#flushing = undefined;
      const now = performance.now();
      if (this.#load.isBusy) this.#restsUntil = now + Math.min(this.#intervalMs, now - this.#begunAt);
      this.wake();
    });
  }
}
