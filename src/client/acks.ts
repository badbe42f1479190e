import { MusterError } from "../protocol/errors.ts";

/** Callers that wait for an acknowledgement, at most. */
const MOST_WAITING = 1_000;
/** Lost connections of which it is known what they took along. */
const MOST_LOSSES = 100;

/** Who waits for which beat of the present session to be committed. */
export class Acks {
  #acked = 0;
  /** Beats that were sent and lost: a later acknowledgement is not theirs. */
  readonly #lost: { after: number; upTo: number; error: MusterError }[] = [];
  #waiting: { n: number; resolve(): void; reject(error: MusterError): void }[] = [];

  /** Resolves when beat `n` or a later one is acknowledged. Rejects with MusterError. */
  wait(n: number): Promise<void> {
    const lost = this.#lost.find(({ after, upTo }) => n > after && n <= upTo);
    if (lost) return Promise.reject(lost.error);
    if (n <= this.#acked) return Promise.resolve();
    if (this.#waiting.length >= MOST_WAITING)
      return Promise.reject(
        new MusterError("rate_limited", `${MOST_WAITING} callers wait for an ack already`),
      );
    return new Promise((resolve, reject) => this.#waiting.push({ n, resolve, reject }));
  }

  /** Everything up to `n` is committed. */
  acked(n: number): void {
    this.#acked = Math.max(this.#acked, n);
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((waiter) => waiter.n > n);
    for (const waiter of waiting) if (waiter.n <= n) waiter.resolve();
  }

  /** No acknowledgement comes any more for what was sent, up to beat `n`. */
  lost(error: MusterError, n: number): void {
    if (n > this.#acked) this.#lost.push({ after: this.#acked, upTo: n, error });
    if (this.#lost.length > MOST_LOSSES) this.#lost.shift();
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }
}
