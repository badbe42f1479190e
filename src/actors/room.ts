/** From so many places left behind on, they are given back. */
const MOST_BEHIND = 1_024;

/** Who waits until there is room. */
export interface Waiting {
  /** There is. Nothing happens when it has proceeded before. */
  proceed(): void;
}

/** How many are under way at a time. Who must not wait enters all the same; the others wait in order, for a place in a list. */
export class Room {
  readonly #most: number;
  #inside = 0;
  #waiting: Waiting[] = [];
  #head = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** One more is under way. */
  enter(): void {
    this.#inside += 1;
  }

  /** One less. Those who wait proceed, as far as there is room. */
  leave(): void {
    this.#inside -= 1;
    while (this.#inside < this.#most && this.#head < this.#waiting.length) this.#shift()?.proceed();
  }

  /** Lets it proceed at once, or when there is room. */
  whenFree(who: Waiting): void {
    if (this.#inside < this.#most) who.proceed();
    else this.#waiting.push(who);
  }

  #shift(): Waiting | undefined {
    const first = this.#waiting[this.#head++];
    if (this.#head === this.#waiting.length || this.#head >= MOST_BEHIND) {
      // Not the list's own shift: each would move all that follow.
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    return first;
  }
}
