import type { Clock } from "../clock.ts";

/** A timer that is set for longer, some 25 days, would fire at once. */
const LONGEST_MS = 2_147_483_647;

/**
 * Real time for a client, in Node and in a browser. Its timers keep a Node process alive: a program that waits to
 * reconnect has work to do.
 */
export const clientClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, LONGEST_MS));
    return () => clearTimeout(timer);
  },
  every(ms, run) {
    const timer = setInterval(run, Math.min(ms, LONGEST_MS));
    return () => clearInterval(timer);
  },
};
