type Frame = string | Uint8Array;
type After = () => unknown;

/** The answers to one batch, gathered until the last is there: one frame answers them all, what follows comes after it. */
export class Batch {
  readonly #onHeld: (bytes: number) => void;
  readonly #onDone: (answers: readonly Frame[], afters: readonly After[]) => void;
  readonly #answers: Frame[] = [];
  readonly #afters: After[] = [];
  #heldBytes = 0;
  /** One for the batch itself: no answer ends it while its messages are still being looked at. */
  #open = 1;

  /**
   * @param onHeld told how many more bytes of answers wait, and, when they are sent, how many fewer
   * @param onDone told all answers once the last is there
   */
  constructor(
    onHeld: (bytes: number) => void,
    onDone: (answers: readonly Frame[], afters: readonly After[]) => void,
  ) {
    this.#onHeld = onHeld;
    this.#onDone = onDone;
  }

  /** The answer to a request, when it is there. */
  readonly later = (answer: Frame, after?: After): void => {
    this.add(answer);
    if (after) this.#afters.push(after);
    this.done();
  };

  /** One more answer is to come by `later`. */
  expect(): void {
    this.#open += 1;
  }

  add(answer: Frame | undefined): void {
    if (answer === undefined) return;
    // The encoder writes the next frame over this one.
    this.#answers.push(typeof answer === "string" ? answer : answer.slice());
    this.#heldBytes += answer.length;
    this.#onHeld(answer.length);
  }

  /** An answer is there, or all messages have been looked at. */
  done(): void {
    this.#open -= 1;
    if (this.#open > 0) return;
    this.#onHeld(-this.#heldBytes);
    this.#onDone(this.#answers, this.#afters);
  }
}
