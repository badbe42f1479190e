import type { Clock } from "../../clock.ts";

/** Frames that a gateway may send without being asked, in a second and at once. */
const FRAMES = { perSecond: 2_000, most: 10_000 } as const;
/** Their bytes. */
const BYTES = { perSecond: 8 * 1_048_576, most: 64 * 1_048_576 } as const;

/**
 * How much a gateway may still send without being asked. It outlives connections: who dials again finds no new one.
 * Hundreds of agents that answer at the same time stay far below it.
 */
export class Allowance {
  readonly #clock: Clock;
  #at: number;
  #frames: number = FRAMES.most;
  #bytes: number = BYTES.most;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#at = clock.now();
  }

  /** Whether one more frame of so many bytes is within it. */
  take(bytes: number): boolean {
    const now = this.#clock.now();
    const seconds = Math.max(0, now - this.#at) / 1_000;
    this.#at = now;
    this.#frames = Math.min(FRAMES.most, this.#frames + seconds * FRAMES.perSecond) - 1;
    this.#bytes = Math.min(BYTES.most, this.#bytes + seconds * BYTES.perSecond) - bytes;
    if (this.#frames >= 0 && this.#bytes >= 0) return true;
    this.#frames = Math.max(0, this.#frames);
    this.#bytes = Math.max(0, this.#bytes);
    return false;
  }
}
