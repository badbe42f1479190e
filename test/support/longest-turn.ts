import assert from "node:assert/strict";

/**
 * Longer than any turn of an event loop that is kept free (most of it is the garbage collector's), and far shorter than what
 * takes a hostile megabyte at once, in milliseconds.
 */
const LONG_MS = 250;
/** Other programs can take the processor in the middle of a turn; work that holds the loop holds it every time. */
const TRIES = 3;

/** Asserts that this process's event loop keeps turning while the work is done, which can be repeated. */
export async function assertShortTurns(what: string, work: () => Promise<unknown>): Promise<void> {
  const turns: number[] = [];
  while (turns.length < TRIES) {
    const longest = await longestTurn(work);
    if (longest < LONG_MS) return;
    turns.push(Math.round(longest));
  }
  assert.fail(`${what}: the longest turns of the event loop took ${turns.join(", ")} ms`);
}

/** In milliseconds: of the processor if that is less than by the clock. */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = performance.now();
  let cpu = process.cpuUsage();
  let isOver = false;
  const look = () => {
    const now = performance.now();
    const { user, system } = process.cpuUsage(cpu);
    longest = Math.max(longest, Math.min(now - last, (user + system) / 1_000));
    last = now;
    cpu = process.cpuUsage();
    if (!isOver) setImmediate(look);
  };
  setImmediate(look);
  try {
    await work();
  } finally {
    isOver = true;
  }
  return longest;
}
