import type { Clock } from "../clock.ts";
import { MusterError } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";

/** A session that is refused this often within a second is flooding. */
const MOST_REFUSALS = 1_000;
const WINDOW_MS = 1_000;
const RETRY_AFTER_MS = 100;

/** Counts a session's requests that are not answered yet, and refuses more than it may have. */
export class InFlight {
  readonly #clock: Clock;
  readonly #onFlood: () => void;
  #count = 0;
  #refusals = 0;
  #windowSince = 0;

  /** @param onFlood called when the session goes on although it is refused */
  constructor(clock: Clock, onFlood: () => void) {
    this.#clock = clock;
    this.#onFlood = onFlood;
  }

  /** Runs a request if there is room. Throws rate_limited. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#count >= LIMITS.max_in_flight) {
      this.#refused();
      throw new MusterError(
        "rate_limited",
        `At most ${LIMITS.max_in_flight} requests may be in flight. Wait for answers before sending more.`,
        { retry_after_ms: RETRY_AFTER_MS },
      );
    }
    this.#count += 1;
    try {
      return await work();
    } finally {
      this.#count -= 1;
    }
  }

  #refused(): void {
    const now = this.#clock.now();
    if (now - this.#windowSince > WINDOW_MS) {
      this.#windowSince = now;
      this.#refusals = 0;
    }
    this.#refusals += 1;
    // One whole batch of refusals is clumsy, not hostile.
    if (this.#refusals > MOST_REFUSALS) this.#onFlood();
  }
}
