/** The ceilings of the first pause and of every later one, in milliseconds. */
export const PAUSE = { firstMs: 1_000, greatestMs: 30_000 } as const;

/**
 * Pauses between tries to connect: exponential ceilings with full jitter, so that a fleet which lost its server
 * together does not come back together.
 */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  /** @param random numbers from 0 to 1 */
  constructor(random: () => number) {
    this.#random = random;
  }

  /**
   * The next pause, in milliseconds.
   *
   * @param leastMs what the server asked for, if it did; the jitter comes on top
   */
  next(leastMs = 0): number {
    const ceiling = Math.min(PAUSE.greatestMs, PAUSE.firstMs * 2 ** this.#failures);
    this.#failures += 1;
    return Math.round(leastMs + ceiling * this.#random());
  }

  /** Starts over: the last try was a success. */
  reset(): void {
    this.#failures = 0;
  }
}
