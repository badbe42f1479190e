/** From so many places left behind on, they are given back. */
const MOST_BEHIND = 1_024;

/**
 * Agents that wait for their turn, by their indexes, in the order in which they came. One can be taken out of the middle. A Set
 * alone would do, but to find its first element it walks past all that were taken out before.
 */
export class ReadyQueue {
  readonly #waiting = new Set<number>();
  /** Also those that were taken out of the middle: they are passed over. */
  #order: number[] = [];
  #head = 0;

  /** Puts an agent at the end that is not in the queue. */
  push(index: number): void {
    this.#waiting.add(index);
    this.#order.push(index);
  }

  /** Takes out the first; undefined when there is none. */
  shift(): number | undefined {
    while (this.#head < this.#order.length) {
      const index = this.#order[this.#head++] ?? 0;
      if (this.#head >= MOST_BEHIND && this.#head * 2 > this.#order.length) {
        this.#order = this.#order.slice(this.#head);
        this.#head = 0;
      }
      if (this.#waiting.delete(index)) return index;
    }
    return undefined;
  }

  /** Takes an agent out of the middle; false when it is not in the queue. */
  delete(index: number): boolean {
    return this.#waiting.delete(index);
  }
}
