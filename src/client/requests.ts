import type { Cancel, Clock } from "../clock.ts";
import { MusterError } from "../protocol/errors.ts";
import { type MessageId, request as requestMessage } from "../protocol/messages.ts";

/** Requests that wait for their turn, at most; the next one is refused. */
const MOST_WAITING = 10_000;

/** Called once, in the same turn in which the answer arrives: what follows the answer finds its effect. */
export type Answered = (error: MusterError | undefined, result: unknown) => void;

interface Request {
  method: string;
  message: ReturnType<typeof requestMessage>;
  answered: Answered;
  cancelTimeout: Cancel;
}

/**
 * The requests of one connection: sent while it is open, no more at a time than the server takes, the others in
 * order behind them.
 */
export class Requests {
  readonly #clock: Clock;
  readonly #send: (message: unknown) => void;
  readonly #waiting = new Map<number, Request>();
  /** A request that timed out stays, without its caller: the server is still busy with it. */
  readonly #sent = new Map<number, Request | undefined>();
  #mostInFlight = 0;
  #lastId = 0;

  /** @param send puts a message on the open connection; throws MusterError for one that cannot be sent */
  constructor(clock: Clock, send: (message: unknown) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  ask(method: string, params: object, timeoutMs: number, answered: Answered): void {
    if (this.#waiting.size >= MOST_WAITING) {
      answered(
        new MusterError("rate_limited", `${method}: ${MOST_WAITING} requests wait already`, {
          may_have_been_done: false,
        }),
        undefined,
      );
      return;
    }
    const id = this.nextId();
    const cancelTimeout = this.#clock.after(timeoutMs, () => this.#timeOut(id, timeoutMs));
    this.#waiting.set(id, { method, message: requestMessage(id, method, params), answered, cancelTimeout });
    this.#sendNext();
  }

  /** The connection is open and takes this many requests at a time. */
  opened(mostInFlight: number): void {
    this.#mostInFlight = mostInFlight;
    this.#sendNext();
  }

  /** An answer came; one that nobody waits for is dropped. */
  answer(id: MessageId, error: MusterError | undefined, result: unknown): void {
    if (typeof id !== "number") return;
    const request = this.#sent.get(id);
    this.#sent.delete(id);
    request?.cancelTimeout();
    request?.answered(error, result);
    this.#sendNext();
  }

  /** The connection is lost: what was sent fails, what waits goes on waiting. */
  lost(why: string): void {
    this.#mostInFlight = 0;
    const sent = [...this.#sent.values()];
    this.#sent.clear();
    for (const request of sent)
      fail(request, `${why} before the answer came: the request may have been carried out`, true);
  }

  /** No connection will come again: everything fails. */
  end(why: string): void {
    this.lost(why);
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const request of waiting) fail(request, `${why}: the request was not sent`, false);
  }

  #sendNext(): void {
    for (const [id, request] of this.#waiting) {
      if (this.#sent.size >= this.#mostInFlight) return;
      this.#waiting.delete(id);
      this.#sent.set(id, request);
      try {
        this.#send(request.message);
      } catch (error) {
        this.#sent.delete(id);
        request.cancelTimeout();
        request.answered(error instanceof MusterError ? error : notSendable(error), undefined);
      }
    }
  }

  #timeOut(id: number, timeoutMs: number): void {
    const wasSent = this.#sent.has(id);
    const request = wasSent ? this.#sent.get(id) : this.#waiting.get(id);
    this.#waiting.delete(id);
    if (wasSent) this.#sent.set(id, undefined);
    const what = wasSent ? "no answer; it may have been carried out" : "no connection; it was not sent";
    request?.answered(
      new MusterError("timeout", `${request.method}: within ${timeoutMs} ms ${what}`, {
        may_have_been_done: wasSent,
      }),
      undefined,
    );
  }
}

function fail(request: Request | undefined, why: string, mayHaveBeenDone: boolean): void {
  request?.cancelTimeout();
  request?.answered(
    new MusterError("unavailable", `${request.method}: ${why}`, { may_have_been_done: mayHaveBeenDone }),
    undefined,
  );
}

function notSendable(cause: unknown): MusterError {
  return new MusterError(
    "invalid_params",
    `the params cannot be written as a message: ${cause}`,
    {},
    { cause },
  );
}
