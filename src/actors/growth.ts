/** Before so little of the room is left, as a part of it, more is made. */
const LEFT = 1 / 8;

/**
 * Room for columns: twice as much before it is full. A column of a million takes a while to be copied, and all of them would
 * be a pause for everybody, so one is made longer in each turn of the loop.
 */
export class Growth {
  #capacity: number;
  readonly #stepsTo: (capacity: number) => (() => void)[];
  /** What is left to be done for more room. */
  #steps: (() => void)[] = [];

  /**
   * @param first how much room the columns have
   * @param stepsTo what makes each column so long
   */
  constructor(first: number, stepsTo: (capacity: number) => (() => void)[]) {
    this.#capacity = first;
    this.#stepsTo = stepsTo;
  }

  /** Indexes below this have their place in every column. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Makes room for the index: at once where there is none, and soon where little is left. */
  reach(index: number): void {
    if (index < this.#capacity * (1 - LEFT)) return;
    if (this.#steps.length === 0) this.#begin(Math.max(this.#capacity * 2, index + 1));
    while (index >= this.#capacity) {
      if (this.#steps.length === 0) this.#begin(Math.max(this.#capacity * 2, index + 1));
      while (this.#steps.length > 0) this.#steps.shift()?.();
    }
  }

  #begin(capacity: number): void {
    this.#steps = [
      ...this.#stepsTo(capacity),
      () => {
        this.#capacity = capacity;
      },
    ];
    setImmediate(() => this.#step());
  }

  #step(): void {
    this.#steps.shift()?.();
    if (this.#steps.length > 0) setImmediate(() => this.#step());
  }
}

/** The longer column, with what the shorter one holds. */
export function grown<T extends Uint8Array | Int32Array | Float64Array>(from: T, into: T): T {
  into.set(from);
  return into;
}
