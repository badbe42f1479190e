/** The queue holds as much of one key as it may. */
export class QueueFull extends Error {
  override name = "QueueFull";
}

interface Entry {
  start(): void;
}

/**
 * Runs tasks, so many at a time in all and so many of each key, and gives the keys turns: who has many waiting holds up
 * only themselves.
 */
export class FairQueue {
  readonly #most: { atOnce: number; atOnceOfKey: number; waitingOfKey: number };
  readonly #running = new Map<string, number>();
  /** By key, in the order of the keys' turns. */
  readonly #waiting = new Map<string, Entry[]>();
  #total = 0;

  constructor(most: { atOnce: number; atOnceOfKey: number; waitingOfKey: number }) {
    this.#most = most;
  }

  /**
   * Runs a task when its turn comes. Rejects with QueueFull when too many of its key wait, with the signal's reason when
   * that is aborted before the turn has come.
   */
  async run<T>(key: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    await this.#turn(key, signal);
    try {
      return await task();
    } finally {
      this.#total -= 1;
      const left = (this.#running.get(key) ?? 1) - 1;
      if (left > 0) this.#running.set(key, left);
      else this.#running.delete(key);
      this.#startNext();
    }
  }

  #turn(key: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const entries = this.#waiting.get(key) ?? [];
      if (entries.length >= this.#most.waitingOfKey) return reject(new QueueFull());
      const leave = () => {
        const left = (this.#waiting.get(key) ?? []).filter((other) => other !== entry);
        if (left.length > 0) this.#waiting.set(key, left);
        else this.#waiting.delete(key);
        reject(signal.reason);
      };
      const entry: Entry = {
        start: () => {
          signal.removeEventListener("abort", leave);
          resolve();
        },
      };
      signal.addEventListener("abort", leave, { once: true });
      entries.push(entry);
      this.#waiting.set(key, entries);
      this.#startNext();
    });
  }

  #startNext(): void {
    for (const [key, entries] of this.#waiting) {
      if (this.#total >= this.#most.atOnce) return;
      const running = this.#running.get(key) ?? 0;
      if (running >= this.#most.atOnceOfKey) continue;
      const entry = entries.shift();
      // Its next turn comes after everybody else's.
      this.#waiting.delete(key);
      if (entries.length > 0) this.#waiting.set(key, entries);
      this.#running.set(key, running + 1);
      this.#total += 1;
      entry?.start();
    }
  }
}
