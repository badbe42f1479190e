/** How long one slice of long work may hold the event loop, in milliseconds. */
const SLICE_MS = 4;

const waiting: (() => void)[] = [];

/** Resolves when the next slice may begin: of all long work together, one slice in each turn of the event loop. */
function nextTurn(): Promise<void> {
  return new Promise((begin) => {
    // Bounded by the requests and links that the work is for.
    if (waiting.push(begin) === 1) setImmediate(beginNext);
  });
}

function beginNext(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(beginNext);
}

/**
 * Runs long work in slices, so that the event loop turns in between however much of it there is. The work yields
 * wherever it can be interrupted, some microseconds of work apart. Rejects with what the work throws.
 */
export async function inSlices<T>(work: Generator<void, T>): Promise<T> {
  for (;;) {
    await nextTurn();
    const end = performance.now() + SLICE_MS;
    do {
      const step = work.next();
      if (step.done) return step.value;
    } while (performance.now() < end);
  }
}

/** Runs the same work at once, where there is little of it. Throws what it throws. */
export function atOnce<T>(work: Generator<void, T>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

/** How many items are looked at between two looks at the time. */
const ITEMS = 32;

/** Does something with each item: with a few at once, with more in slices. Rejects with what it throws. */
export async function forEachInSlices<T>(items: readonly T[], each: (item: T) => void): Promise<void> {
  if (items.length <= ITEMS) atOnce(steps(items, each));
  else await inSlices(steps(items, each));
}

function* steps<T>(items: readonly T[], each: (item: T) => void): Generator<void, void> {
  let looked = 0;
  for (const item of items) {
    each(item);
    if (++looked % ITEMS === 0) yield;
  }
}
