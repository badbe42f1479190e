/** Keys looked up by one query at most. */
const MOST_KEYS = 1_000;

interface Asked<Row> {
  row: Promise<Row | undefined>;
  resolve(row: Row | undefined): void;
  reject(error: unknown): void;
}

/**
 * Look-ups by key, many with one query: those that are made while one is under way wait together for the next. So one
 * alone is not delayed, and thousands at once, as when a fleet connects, cost a few queries and not a query each.
 *
 * @param read reads what there is of these keys, each once; what it throws, every caller of these keys gets
 * @returns looks a key up: what was there when it was asked for, or later
 */
export function batched<Row>(
  read: (keys: string[]) => Promise<ReadonlyMap<string, Row>>,
): (key: string) => Promise<Row | undefined> {
  const waiting = new Map<string, Asked<Row>>();
  let isReading = false;

  const readNext = async () => {
    const asked = [...waiting].slice(0, MOST_KEYS);
    // Who asks from now on is told only what is read after that.
    for (const [key] of asked) waiting.delete(key);
    try {
      const rows = await read(asked.map(([key]) => key));
      for (const [key, { resolve }] of asked) resolve(rows.get(key));
    } catch (error) {
      for (const [, { reject }] of asked) reject(error);
    }
    if (waiting.size > 0) setImmediate(readNext);
    else isReading = false;
  };

  return (key) => {
    const already = waiting.get(key);
    if (already) return already.row;
    const asked: Asked<Row> = { row: Promise.resolve(undefined), resolve: () => {}, reject: () => {} };
    asked.row = new Promise((resolve, reject) => Object.assign(asked, { resolve, reject }));
    waiting.set(key, asked);
    if (!isReading) {
      isReading = true;
      // What is asked for in the same turn of the loop goes along.
      setImmediate(readNext);
    }
    return asked.row;
  };
}
