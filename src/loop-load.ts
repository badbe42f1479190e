import { type EventLoopUtilization, performance } from "node:perf_hooks";

/** Shorter times say little of the load, in milliseconds. */
const WINDOW_MS = 100;
/** The part of the time at work from which on there is none to spare. */
const BUSY = 0.75;

/** How much of its time this process's loop is at work. */
export class LoopLoad {
  #begin: EventLoopUtilization = performance.eventLoopUtilization();
  #isBusy = false;

  /** Whether it had no time to spare in the last tenth of a second, or in what has passed since this was asked last. */
  get isBusy(): boolean {
    const { active, idle, utilization } = performance.eventLoopUtilization(this.#begin);
    if (active + idle >= WINDOW_MS) {
      this.#isBusy = utilization > BUSY;
      this.#begin = performance.eventLoopUtilization();
    }
    return this.#isBusy;
  }
}
