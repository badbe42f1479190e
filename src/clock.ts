/** Cancels what it was returned for; calling it again does nothing. */
export type Cancel = () => void;

/**
 * Where rules about time take it from: deadlines, sweeps, time-outs. Injected, so that tests turn the hands themselves.
 * Pacing that no rule depends on (commit groups, push ticks) uses plain timers.
 */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Runs once, after `ms` milliseconds. */
  after(ms: number, run: () => void): Cancel;
  /** Runs every `ms` milliseconds. */
  every(ms: number, run: () => void): Cancel;
}

/** The machine's own clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms).unref();
    return () => clearTimeout(timer);
  },
  every(ms, run) {
    const timer = setInterval(run, ms).unref();
    return () => clearInterval(timer);
  },
};
