import { build, type Histogram } from "hdr-histogram-js";

/** Latencies are told apart up to an hour, in microseconds; what takes longer counts as that. */
const GREATEST_US = 3_600_000_000;

/** The latency in milliseconds below which so many of a hundred heartbeats lie, and the greatest. */
export type Latencies = Record<"p50" | "p90" | "p99" | "p99_9" | "max", number | null>;

/** What a load measures: only what belongs to the time between `begin` and `end`. */
export class Recorder {
  readonly #latencies: Histogram = build({
    bitBucketSize: 64,
    lowestDiscernibleValue: 1,
    highestTrackableValue: GREATEST_US,
    numberOfSignificantValueDigits: 3,
    autoResize: false,
  });
  #from = Number.POSITIVE_INFINITY;
  #until = Number.POSITIVE_INFINITY;
  /** Heartbeats acknowledged within the time. */
  acked = 0;
  /** Heartbeats that were never acknowledged, or not sent for want of a socket. */
  lost = 0;

  /** Heartbeats that are due from now on count. */
  begin(at: number): void {
    this.#from = at;
  }

  /** Heartbeats that are due from now on do not count any more; acknowledgements of earlier ones still have their latency. */
  end(at: number): void {
    this.#until = at;
  }

  /**
   * Heartbeats were acknowledged.
   *
   * @param due when they were sent, or should have been, in milliseconds
   * @param at now, by the same clock
   */
  acknowledged(due: number, at: number, count: number): void {
    if (at >= this.#from && at < this.#until) this.acked += count;
    if (due < this.#from || due >= this.#until) return;
    this.#latencies.recordValueWithCount(
      Math.min(GREATEST_US, Math.max(0, Math.round((at - due) * 1_000))),
      count,
    );
  }

  /** Heartbeats are lost, at a time. */
  gone(at: number, count: number): void {
    if (at >= this.#from) this.lost += count;
  }

  /** Latencies in milliseconds; null when nothing was acknowledged. */
  latencies(): Latencies {
    const below = (percent: number) =>
      this.#latencies.totalCount === 0 ? null : this.#latencies.getValueAtPercentile(percent) / 1_000;
    return { p50: below(50), p90: below(90), p99: below(99), p99_9: below(99.9), max: below(100) };
  }
}
