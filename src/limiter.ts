/** Lets at most so many run at a time for each key; the others wait in order. */
export class Limiter {
  readonly #running = new Map<string, number>();
  readonly #waiting = new Map<string, (() => void)[]>();

  async run<T>(key: string, most: number, work: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key) ?? 0;
    if (running >= most)
      await new Promise<void>((start) => {
        const waiting = this.#waiting.get(key) ?? [];
        waiting.push(start);
        this.#waiting.set(key, waiting);
      });
    else this.#running.set(key, running + 1);
    try {
      return await work();
    } finally {
      this.#next(key);
    }
  }

  /** Hands the place to who waits longest, or frees it. */
  #next(key: string): void {
    const waiting = this.#waiting.get(key);
    const start = waiting?.shift();
    if (waiting?.length === 0) this.#waiting.delete(key);
    if (start) return start();
    const running = (this.#running.get(key) ?? 1) - 1;
    if (running > 0) this.#running.set(key, running);
    else this.#running.delete(key);
  }
}
