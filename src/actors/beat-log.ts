import { randomUUID } from "node:crypto";
import type { BeatEvents } from "../store/beat-events.ts";

const FIRST_CAPACITY = 1_024;
/** Beats that wait for Postgres at most, some 12 MB; beyond, a beat only counts as one, and leaves no event. */
const MOST_WAITING = 1_000_000;
/** Beats in one batch at most. */
const MOST_TAKEN = 20_000;

/** Heartbeats that are to leave an event each, on their way to Postgres. */
export class BeatLog {
  #nos = new Int32Array(FIRST_CAPACITY);
  #times = new Float64Array(FIRST_CAPACITY);
  #length = 0;
  /** A batch that Postgres did not take for certain: it comes again as it was, so that no event is there twice. */
  #again: BeatEvents | undefined;

  get isEmpty(): boolean {
    return this.#length === 0 && this.#again === undefined;
  }

  /** @param no the agent's small key */
  record(no: number, at: number): void {
    if (this.#length === MOST_WAITING) return;
    if (this.#length === this.#nos.length) this.#grow();
    this.#nos[this.#length] = no;
    this.#times[this.#length] = at;
    this.#length += 1;
  }

  /** The next batch; null when there is none. */
  take(): BeatEvents | null {
    const again = this.#again;
    this.#again = undefined;
    if (again || this.#length === 0) return again ?? null;
    const count = Math.min(MOST_TAKEN, this.#length);
    const taken = {
      batch: randomUUID(),
      nos: this.#nos.slice(0, count),
      times: this.#times.slice(0, count),
    };
    this.#nos.copyWithin(0, count, this.#length);
    this.#times.copyWithin(0, count, this.#length);
    this.#length -= count;
    return taken;
  }

  /** The batch is to be taken once more. */
  putBack(events: BeatEvents): void {
    this.#again = events;
  }

  #grow(): void {
    const capacity = Math.min(MOST_WAITING, this.#nos.length * 2);
    const nos = new Int32Array(capacity);
    const times = new Float64Array(capacity);
    nos.set(this.#nos);
    times.set(this.#times);
    this.#nos = nos;
    this.#times = times;
  }
}
