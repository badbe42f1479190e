/** A map is put together anew when it is full, all at once; of so many parts, each is seldom and small. */
const PARTS = 256;

/** Numbers by ids (UUIDs, or any text), of which there may be millions: it grows without a pause that anybody would notice. */
export class IdMap {
  readonly #parts = Array.from({ length: PARTS }, () => new Map<string, number>());
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: string): number | undefined {
    return this.#partOf(id).get(id);
  }

  set(id: string, value: number): void {
    const part = this.#partOf(id);
    const before = part.size;
    part.set(id, value);
    this.#size += part.size - before;
  }

  delete(id: string): void {
    if (this.#partOf(id).delete(id)) this.#size -= 1;
  }

  /** By the first two characters, which in UUIDs are evenly spread: sixteen by sixteen, each with its own part. */
  #partOf(id: string): Map<string, number> {
    const place = (nibble(id.charCodeAt(0)) << 4) | nibble(id.charCodeAt(1));
    // In range by the bits that are left of it.
    return this.#parts[place] ?? new Map();
  }
}

/** Of a hexadecimal digit in small letters its value; of anything else one of the sixteen too. */
function nibble(code: number): number {
  return code > 0x39 ? (code - 0x57) & 15 : code & 15;
}
