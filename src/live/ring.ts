/** One notification's worth of changes. */
export interface TopicChange {
  offset: number;
  upserts: readonly object[];
  removes: readonly string[];
}

/** What a topic keeps for those who come back. */
export interface HistoryBounds {
  changes: number;
  bytes: number;
}

/** The latest changes of a topic, bounded; the oldest go first. */
export class Ring {
  readonly #bounds: HistoryBounds;
  readonly #kept: { change: TopicChange; bytes: number }[] = [];
  #bytes = 0;

  constructor(bounds: HistoryBounds) {
    this.#bounds = bounds;
  }

  /** @param bytes what the change weighs, about */
  push(change: TopicChange, bytes: number): void {
    this.#kept.push({ change, bytes });
    this.#bytes += bytes;
    while (this.#kept.length > this.#bounds.changes || this.#bytes > this.#bounds.bytes) {
      const oldest = this.#kept.shift();
      if (!oldest) return;
      this.#bytes -= oldest.bytes;
    }
  }

  /** Bytes of the changes after `offset`, about. */
  weightSince(offset: number): number {
    let bytes = 0;
    for (const kept of this.#kept) if (kept.change.offset > offset) bytes += kept.bytes;
    return bytes;
  }

  /** Every change after `offset` up to `current`, or undefined when some of them are gone. */
  since(offset: number, current: number): TopicChange[] | undefined {
    if (offset > current) return undefined;
    if (offset === current) return [];
    const first = this.#kept[0];
    if (!first || first.change.offset > offset + 1) return undefined;
    return this.#kept.slice(offset + 1 - first.change.offset).map(({ change }) => change);
  }
}
