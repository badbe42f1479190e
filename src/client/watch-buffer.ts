import type { WatchChange } from "./watch.ts";

/** When agents were last seen: for each its id and how many milliseconds before `at` it was. */
export interface Seen {
  kind: "seen";
  /** ISO 8601. */
  at: string;
  agents: [id: string, msBefore: number][];
}

/**
 * What a watch has for its reader, bounded however slow the reader is: changes by number of items, a snapshot by
 * being one at a time, last-seen times by being merged into one.
 */
export class WatchBuffer<T> {
  readonly #mostItems: number;
  #queue: { change: WatchChange<T>; items: number }[] = [];
  #items = 0;
  #seen: Seen | undefined;
  #ended = false;
  #error: Error | undefined;
  #readers: { resolve(result: IteratorResult<WatchChange<T>>): void; reject(error: Error): void }[] = [];

  /** @param mostItems changed items that may wait */
  constructor(mostItems: number) {
    this.#mostItems = mostItems;
  }

  /** Adds what came. False, and it is not taken, when the reader is too far behind. */
  push(change: WatchChange<T>): boolean {
    const items = change.kind === "change" ? change.upserts.length + change.removes.length : 0;
    // A single change of any size is taken: it came as one frame.
    if (items > 0 && this.#items > 0 && this.#items + items > this.#mostItems) return false;
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: change });
      return true;
    }
    this.#queue.push({ change, items });
    this.#items += items;
    return true;
  }

  /** Adds last-seen times; the newer wins for each agent. */
  pushSeen(seen: Seen): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) reader.resolve({ done: false, value: seen });
    else this.#seen = this.#seen === undefined ? seen : merged(this.#seen, seen);
  }

  /** Forgets what waits. */
  clear(): void {
    this.#queue = [];
    this.#items = 0;
    this.#seen = undefined;
  }

  /** Nothing more comes. What waits is still read; then the iteration ends, with the error if there is one. */
  finish(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const reader of this.#readers.splice(0)) this.next().then(reader.resolve).catch(reader.reject);
  }

  next(): Promise<IteratorResult<WatchChange<T>>> {
    const head = this.#queue.shift();
    if (head !== undefined) {
      this.#items -= head.items;
      return Promise.resolve({ done: false, value: head.change });
    }
    const seen = this.#seen;
    if (seen !== undefined) {
      this.#seen = undefined;
      return Promise.resolve({ done: false, value: seen });
    }
    if (!this.#ended) return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    const error = this.#error;
    this.#error = undefined;
    return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
  }
}

function merged(older: Seen, newer: Seen): Seen {
  const between = Date.parse(newer.at) - Date.parse(older.at);
  const agents = new Map(older.agents.map(([id, msBefore]) => [id, msBefore + between]));
  for (const [id, msBefore] of newer.agents) agents.set(id, msBefore);
  return { kind: "seen", at: newer.at, agents: [...agents] };
}
