/**
 * Lets one through in each turn of the loop, in the order of arrival. So what thousands want at once, each a little, keeps
 * nothing else waiting.
 */
export class Turns {
  readonly #waiting: (() => void)[] = [];

  /** Resolves when it is the caller's turn. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.push(resolve) === 1) setImmediate(() => this.#let());
    });
  }

  #let(): void {
    this.#waiting.shift()?.();
    if (this.#waiting.length > 0) setImmediate(() => this.#let());
  }
}
