/** Done at a time: half of the requests that a session may have under way. */
const WIDTH = 32;

/**
 * Does something for each, some at a time. Resolves with the results, in order. After a failure nothing new is begun; it
 * rejects once what was begun has ended.
 */
export async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const failures: unknown[] = [];
  const rest = items.entries();
  const worker = async () => {
    while (failures.length === 0) {
      const next = rest.next();
      if (next.done) return;
      const [position, item] = next.value;
      try {
        results[position] = await work(item);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, worker));
  if (failures.length > 0) throw failures[0];
  return results;
}
