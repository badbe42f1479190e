import type { Clock } from "../clock.ts";

/** A session that is refused more often than this within a window is flooding. */
const MOST_REFUSALS = 1_000;
const WINDOW_MS = 1_000;

/** Counts what a session sends that is refused unread: requests beyond its bounds, and messages that are none. */
export class Flood {
  readonly #clock: Clock;
  readonly #onFlood: () => void;
  #refusals = 0;
  #since = Number.NEGATIVE_INFINITY;

  /** @param onFlood called when the session goes on although it is refused */
  constructor(clock: Clock, onFlood: () => void) {
    this.#clock = clock;
    this.#onFlood = onFlood;
  }

  /** So many more were refused. One whole batch of refusals is clumsy, not hostile. */
  refused(count = 1): void {
    const now = this.#clock.now();
    // A clock that was set back begins a window too, or the last one would last as long as the step.
    if (now - this.#since > WINDOW_MS || now < this.#since) {
      this.#since = now;
      this.#refusals = 0;
    }
    this.#refusals += count;
    if (this.#refusals > MOST_REFUSALS) this.#onFlood();
  }
}
