const FIRST_CAPACITY = 1_024;

/** A list of agents' indexes that grows in place: adding one allocates nothing, but when it has to double. */
export class IndexList {
  #indexes = new Int32Array(FIRST_CAPACITY);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(index: number): void {
    if (this.#length === this.#indexes.length) {
      const larger = new Int32Array(this.#length * 2);
      larger.set(this.#indexes);
      this.#indexes = larger;
    }
    this.#indexes[this.#length] = index;
    this.#length += 1;
  }

  /** Takes so many out at most, the first. */
  take(most: number): Int32Array {
    const taken = this.#indexes.slice(0, Math.min(most, this.#length));
    this.#indexes.copyWithin(0, taken.length, this.#length);
    this.#length -= taken.length;
    return taken;
  }
}
