import type { Cancel, Clock } from "../../src/clock.ts";

/** When the turned clock of a test server starts. */
export const START = Date.parse("2030-01-01T00:00:00.000Z");

/** A clock whose hands a test turns. */
export class TurnedClock implements Clock {
  #now: number;
  #timers = new Set<{ at: number; run: () => void }>();

  /** @param start milliseconds since the epoch */
  constructor(start = 1_000_000) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): Cancel {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  every(ms: number, run: () => void): Cancel {
    let cancel: Cancel = () => {};
    const again = () => {
      cancel = this.after(ms, () => {
        again();
        run();
      });
    };
    again();
    return () => cancel();
  }

  /** How many timers are set. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Turns the hands, and runs what falls due on the way, in order. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const [due] = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.run();
    }
    this.#now = until;
  }
}
