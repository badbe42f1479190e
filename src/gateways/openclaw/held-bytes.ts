/** Bytes of unfinished and unread frames of all gateways together. */
const MOST_HELD = 256 * 1_048_576;

/** Who holds bytes, and how they are let go. */
export interface Holder {
  bytes: number;
  /** Lets them go, and is to have `bytes` set to 0. */
  drop(): void;
}

/** What all links hold of frames that are not read yet. Where it is too much, the link that holds most is given up. */
export class HeldBytes {
  readonly #holders = new Set<Holder>();
  readonly #most: number;
  #total = 0;

  constructor(most = MOST_HELD) {
    this.#most = most;
  }

  set(holder: Holder, bytes: number): void {
    this.#total += bytes - holder.bytes;
    holder.bytes = bytes;
    if (bytes === 0) this.#holders.delete(holder);
    else this.#holders.add(holder);
    while (this.#total > this.#most) {
      const [first, ...others] = this.#holders;
      if (!first) return;
      const most = others.reduce((one, other) => (other.bytes > one.bytes ? other : one), first);
      this.set(most, 0);
      most.drop();
    }
  }
}
