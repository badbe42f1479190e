import type { TestContext } from "node:test";
import { seedOf } from "./seed.ts";

/** Random numbers from 0 to 1 that the test's seed repeats (mulberry32). */
export function seeded(t: TestContext): () => number {
  let state = seedOf(t);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
