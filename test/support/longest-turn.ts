/**
 * Watches the turns of this process's event loop while something is done.
 *
 * @returns the longest of them, in milliseconds: of the processor if that is less than by the clock, since a busy machine
 *   makes any turn long
 */
export async function longestTurn(work: () => Promise<unknown>): Promise<number> {
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
