/** First and greatest pause between two tries, in milliseconds. */
export const BACKOFF = { firstMs: 1_000, greatestMs: 60_000 } as const;

/**
 * How long to wait before the next try: exponential with full jitter, never sooner than the other side asked for.
 *
 * @param failures tries that have failed so far, from 1
 * @param jitter a random number from 0 to 1, drawn by the caller
 * @param retryAfterMs the other side's own word, if it gave one
 * @returns milliseconds
 */
export function retryDelay(failures: number, jitter: number, retryAfterMs = 0): number {
  const ceiling = Math.min(BACKOFF.greatestMs, BACKOFF.firstMs * 2 ** (failures - 1));
  return Math.round(retryAfterMs + ceiling * jitter);
}
