import { MusterError } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";

/** Requests of one session that wait for their turn. */
export const MOST_WAITING_REQUESTS = 1_000;
/**
 * Bytes of answers that a session keeps waiting: gathered for batches, under way, and not read yet by the peer. With the words
 * for those that are refused then, a whole batch's answer is less than the 8 MiB with which a peer is too slow a reader.
 */
export const MOST_ANSWER_BYTES = 7.5 * 1_048_576;
const RETRY_AFTER_MS = 100;

/** One request on its way to its answer. */
export interface Job {
  /** Bytes that its answer may have, about: set aside while it is under way. */
  answerBytes: number;
  /** Does it and answers it. Never rejects. */
  run(): Promise<void>;
  /** Answers that it is not done. */
  refuse(why: MusterError): void;
}

/**
 * The requests of one session, in the order in which they came: so many at work, the rest waits. A request begins only when
 * the answers that wait leave room for its own, so what a session makes the server hold is bounded however it asks.
 */
export class RequestQueue {
  readonly #bufferedBytes: () => number;
  readonly #onRefused: () => void;
  readonly #waiting: Job[] = [];
  #atWork = 0;
  #reservedBytes = 0;
  #heldBytes = 0;
  #isPumping = false;

  /**
   * @param bufferedBytes bytes that the peer has not read yet; `pump` is to be called when they get fewer
   * @param onRefused called for each request that is refused
   */
  constructor(bufferedBytes: () => number, onRefused: () => void) {
    this.#bufferedBytes = bufferedBytes;
    this.#onRefused = onRefused;
  }

  add(job: Job): void {
    if (this.#waiting.length >= MOST_WAITING_REQUESTS)
      return this.#refuse(
        job,
        `At most ${MOST_WAITING_REQUESTS} requests may wait for their turn. Wait for answers before sending more.`,
      );
    this.#waiting.push(job);
    this.pump();
  }

  /** An answer waits for others before it can be sent: so many bytes, or fewer than none once it is sent. */
  hold(bytes: number): void {
    this.#heldBytes += bytes;
  }

  /** Begins what can begin. Safe to call at any time. */
  pump(): void {
    // A job can be answered at once, which calls this from within.
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#atWork < LIMITS.max_in_flight) {
      const [next] = this.#waiting;
      if (!next) break;
      const held = this.#heldBytes + next.answerBytes;
      if (held + this.#reservedBytes + this.#bufferedBytes() <= MOST_ANSWER_BYTES) {
        this.#waiting.shift();
        this.#begin(next);
      } else if (this.#atWork === 0 && held > MOST_ANSWER_BYTES) {
        // Nothing under way will make room: the answers wait for this very request.
        this.#waiting.shift();
        this.#refuse(
          next,
          "The answers of this batch are too large together. Send the request again, in a smaller one.",
        );
      } else break;
    }
    this.#isPumping = false;
  }

  /** What waits is not begun any more. */
  clear(): void {
    this.#waiting.length = 0;
  }

  #begin(job: Job): void {
    this.#atWork += 1;
    this.#reservedBytes += job.answerBytes;
    void job.run().finally(() => {
      this.#atWork -= 1;
      this.#reservedBytes -= job.answerBytes;
      this.pump();
    });
  }

  #refuse(job: Job, why: string): void {
    this.#onRefused();
    job.refuse(new MusterError("rate_limited", why, { retry_after_ms: RETRY_AFTER_MS }));
  }
}
