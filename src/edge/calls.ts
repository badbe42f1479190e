import type { Cancel, Clock } from "../clock.ts";
import { MusterError } from "../protocol/errors.ts";
import type { PeerError } from "../protocol/messages.ts";

/** Questions of one owner that may wait for an answer. */
const MOST_WAITING = 1_000;

interface Call {
  owner: object;
  resolve(answer: CallAnswer): void;
  cancel: Cancel;
}

/** What came of a question: an answer of the other side, or none: `lost` when it is gone, `late` after its time. */
export type CallAnswer = { result: unknown } | { error: PeerError } | "lost" | "late";

/** The server's own requests to a session, and their answers. Each belongs to whoever asked, and ends with it. */
export class Calls {
  readonly #clock: Clock;
  readonly #send: (id: string, method: string, params: object) => void;
  readonly #waiting = new Map<string, Call>();
  readonly #byOwner = new Map<object, Set<string>>();
  #last = 0;
  #closed = false;

  constructor(clock: Clock, send: (id: string, method: string, params: object) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  /**
   * Sends a request; resolves with `late` after `timeoutMs`, and with `lost` when the owner is released. Rejects only with
   * `unavailable`, when too many questions of the same owner wait already.
   */
  ask(owner: object, method: string, params: object, timeoutMs: number): Promise<CallAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return resolve("lost");
      const own = this.#byOwner.get(owner) ?? new Set();
      if (own.size >= MOST_WAITING)
        return reject(new MusterError("unavailable", "Too many questions to this agent wait for an answer."));
      this.#last += 1;
      const id = `server-${this.#last}`;
      const cancel = this.#clock.after(timeoutMs, () => this.#end(id, "late"));
      this.#waiting.set(id, { owner, resolve, cancel });
      this.#byOwner.set(owner, own.add(id));
      this.#send(id, method, params);
    });
  }

  /** Takes an answer; one that nobody waits for is dropped. Returns whether somebody did. */
  answered(id: string | number, answer: { result: unknown } | { error: PeerError }): boolean {
    return typeof id === "string" && this.#end(id, answer);
  }

  /** The owner is no more: nobody will answer its questions. */
  release(owner: object): void {
    for (const id of this.#byOwner.get(owner) ?? []) this.#end(id, "lost");
  }

  /** The session is no more. */
  close(): void {
    this.#closed = true;
    for (const id of [...this.#waiting.keys()]) this.#end(id, "lost");
  }

  #end(id: string, answer: CallAnswer): boolean {
    const call = this.#waiting.get(id);
    if (!call) return false;
    this.#waiting.delete(id);
    const own = this.#byOwner.get(call.owner);
    own?.delete(id);
    if (own?.size === 0) this.#byOwner.delete(call.owner);
    call.cancel();
    call.resolve(answer);
    return true;
  }
}
