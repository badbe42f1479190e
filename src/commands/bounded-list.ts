/** Bytes of the items of one answer as JSON, about. */
const MOST_BYTES = 524_288;

/** The items of an answer, as many as have room in it, and how many have not. */
export class BoundedList<T> {
  readonly items: T[] = [];
  #bytes = 0;
  #more = 0;

  /** Whether there is room for another one. */
  get hasRoom(): boolean {
    return this.#bytes < MOST_BYTES;
  }

  /** How many were added that had no room. */
  get more(): number {
    return this.#more;
  }

  add(item: T): void {
    if (this.hasRoom) {
      this.items.push(item);
      this.#bytes += Buffer.byteLength(JSON.stringify(item));
    } else this.#more += 1;
  }
}
