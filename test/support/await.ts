import { setTimeout as pause } from "node:timers/promises";

const POLL_MS = 5;

/**
 * Waits until a condition gives something, and returns that. `undefined` and `false` mean: not yet.
 *
 * @param what names the condition in the error, as in "timed out waiting for …"
 * @throws Error after `timeoutMs`; whatever the condition throws, at once
 */
export async function until<T>(
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  { what, timeoutMs = 10_000 }: { what: string; timeoutMs?: number },
): Promise<T> {
  for (const deadline = Date.now() + timeoutMs; ; await pause(POLL_MS)) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (Date.now() >= deadline) throw new Error(`timed out after ${timeoutMs} ms waiting for ${what}`);
  }
}
