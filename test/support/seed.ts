import type { TestContext } from "node:test";

/** The seed of a random test: a new one each time, or the one in SEED, to see a failure again. It is printed. */
export function seedOf(t: TestContext): number {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}: run again with SEED=${seed}`);
  return seed;
}
