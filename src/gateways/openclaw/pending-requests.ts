import type { Cancel, Clock } from "../../clock.ts";
import { atOnce, inSlices } from "../../slices.ts";
import { GatewayError } from "../driver.ts";
import { PICKS } from "./answers.ts";
import { refusalOf } from "./failures.ts";
import { type GatewayFrame, SMALL_BOUNDS } from "./frames.ts";
import { pickJson, TooMuchJson } from "./json-picker.ts";
import { words } from "./said.ts";

interface Pending {
  method: string;
  resolve(payload: unknown): void;
  reject(error: Error): void;
  askedAt: number;
}

/** Bytes of an answer that may be large and is still read as a whole; of a longer one only what is picked. */
const READ_AT_ONCE = 65_536;
/** Large answers that nobody waits for any more and that may still come; beyond, the oldest are unexpected. */
const MOST_LATE = 100;

/** The requests to one gateway that wait for their answers. */
export class PendingRequests {
  readonly #clock: Clock;
  readonly #pending = new Map<string, Pending>();
  /** Those whose answer may be large and has not come over this connection, also where nobody waits for it any more. */
  readonly #large = new Set<string>();
  #lastId = 0;
  #latencyMs: number | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long the latest answer took, in milliseconds. */
  get latencyMs(): number | null {
    return this.#latencyMs;
  }

  /** Whether an answer that may be large is still to come. */
  get awaitLarge(): boolean {
    return this.#large.size > 0;
  }

  /** Whether a frame is the answer to something that was asked. */
  isAwaited(frame: GatewayFrame): boolean {
    return frame.type === "res" && this.#pending.has(frame.id);
  }

  /** Whether a frame is an answer that may be large. */
  isLarge(frame: GatewayFrame): boolean {
    return frame.type === "res" && this.#large.has(frame.id);
  }

  /**
   * Sends a request and waits for its answer. Throws GatewayRefusal for an answer that says no, another GatewayError for a
   * frame of more than `maxBytes`, for an answer that cannot be read, and where no answer comes within `timeoutMs` or before
   * the signal.
   */
  async ask(
    method: string,
    params: object,
    {
      send,
      maxBytes,
      timeoutMs,
      signal,
    }: { send: (text: string) => void; maxBytes: number; timeoutMs: number; signal: AbortSignal | undefined },
  ): Promise<unknown> {
    this.#lastId += 1;
    const id = String(this.#lastId);
    const text = JSON.stringify({ type: "req", id, method, params });
    if (Buffer.byteLength(text) > maxBytes)
      throw new GatewayError(
        `${method} would take more than the ${maxBytes} bytes that the gateway takes at once`,
        {
          transient: false,
        },
      );
    const late = () =>
      new GatewayError(`The gateway did not answer ${method} within ${timeoutMs / 1_000} s`, {
        transient: true,
      });
    let cancel: Cancel = () => {};
    let callOff = () => {};
    try {
      return await new Promise<unknown>((resolve, reject) => {
        this.#pending.set(id, { method, resolve, reject, askedAt: this.#clock.now() });
        if (PICKS.has(method)) this.#expectLarge(id);
        cancel = this.#clock.after(timeoutMs, () => reject(late()));
        callOff = () => reject(calledOff());
        signal?.addEventListener("abort", callOff);
        send(text);
      });
    } finally {
      this.#pending.delete(id);
      cancel();
      signal?.removeEventListener("abort", callOff);
    }
  }

  /** An answer came. One that nobody waits for is ignored. Resolves once a long one was read; never rejects. */
  answer(frame: GatewayFrame & { type: "res" }): Promise<void> | undefined {
    this.#large.delete(frame.id);
    const pending = this.#pending.get(frame.id);
    if (!pending) return undefined;
    // What else comes under this id is no answer.
    this.#pending.delete(frame.id);
    this.#latencyMs = this.#clock.now() - pending.askedAt;
    if (!frame.ok) {
      pending.reject(refusalOf(frame.error ?? { code: "UNKNOWN", message: "The gateway gave no reason." }));
      return undefined;
    }
    const { payload } = frame;
    if (!payload) {
      pending.resolve(undefined);
      return undefined;
    }
    const large = payload.length > READ_AT_ONCE ? PICKS.get(pending.method) : undefined;
    if (large)
      return inSlices(pickJson(payload, large.pick, large.bounds)).then(pending.resolve, (error) =>
        pending.reject(unreadable(pending.method, error)),
      );
    try {
      pending.resolve(atOnce(pickJson(payload, "all", SMALL_BOUNDS)));
    } catch (error) {
      pending.reject(unreadable(pending.method, error));
    }
    return undefined;
  }

  /** The connection is gone: no answer will come any more. */
  lose(error: GatewayError): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    this.#large.clear();
  }

  #expectLarge(id: string): void {
    this.#large.add(id);
    if (this.#large.size <= MOST_LATE) return;
    for (const oldest of this.#large) {
      this.#large.delete(oldest);
      return;
    }
  }
}

/** The error of work that was superseded, or that a stop of the server ends. */
export const calledOff = () => new GatewayError("The work was called off", { transient: true });

function unreadable(method: string, cause: unknown): GatewayError {
  const why = cause instanceof TooMuchJson ? `is too much to be read: ${cause.message}` : "is no JSON";
  return new GatewayError(words(`The gateway's answer to ${method} ${why}`), { transient: false, cause });
}
