/** Share by which the intervals of agents that want the same differ, at most. */
export const JITTER = 0.1;
/** What is given out of the permitted heartbeats: the rest is room for those who join before the others are slower. */
export const FILLED = 0.8;
/** Agents are told a new interval when it differs from theirs by this factor, up or down. */
export const NOTICEABLE = 1.1;
/** For agents whose settings say nothing that can be read, in milliseconds. */
export const DEFAULT_EVERY_MS = 600_000;
/** Timers of most clients hold no more: signed 32 bits of milliseconds. */
export const LONGEST_EVERY_MS = 2 ** 31 - 1;
/** Multiples of it, their whole part dropped, lie as far from each other as numbers can, however many there are. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * The interval of one agent among many that want the same: up to a tenth shorter, always the same for the same number.
 * So a fleet does not beat in step, and nobody beats less often than it asked to.
 *
 * @param everyMs milliseconds between its heartbeats by its own settings
 * @param no a number that tells the agent from others
 * @returns milliseconds, not rounded
 */
export function jittered(everyMs: number, no: number): number {
  return everyMs * (1 - JITTER * ((no * GOLDEN) % 1));
}

/**
 * Silence after which an agent is offline: never shorter than twice its interval, so that one late heartbeat is no end.
 *
 * @param generalMs what holds for all agents
 * @param everyMs by its own settings, or 0
 * @param keptMs the longest interval that it may be keeping, as it was told it; 0: it was told none
 * @returns milliseconds
 */
export function deadlineOf(generalMs: number, everyMs: number, keptMs: number): number {
  return Math.max(generalMs, 2 * everyMs, 2 * keptMs);
}
