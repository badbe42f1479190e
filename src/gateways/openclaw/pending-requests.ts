import type { Cancel, Clock } from "../../clock.ts";
import { GatewayError } from "../driver.ts";
import { refusalOf } from "./failures.ts";
import type { GatewayFrame } from "./frames.ts";

interface Pending {
  resolve(payload: unknown): void;
  reject(error: Error): void;
  askedAt: number;
}

/** The requests to one gateway that wait for their answers. */
export class PendingRequests {
  readonly #clock: Clock;
  readonly #pending = new Map<string, Pending>();
  #lastId = 0;
  #latencyMs: number | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long the latest answer took, in milliseconds. */
  get latencyMs(): number | null {
    return this.#latencyMs;
  }

  /**
   * Sends a request and waits for its answer. Throws GatewayRefusal for an answer that says no, another GatewayError for a
   * frame of more than `maxBytes`, and where no answer comes within `timeoutMs` or before the signal.
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
        this.#pending.set(id, { resolve, reject, askedAt: this.#clock.now() });
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

  /** An answer came. One that nobody waits for is ignored. */
  answer(frame: GatewayFrame & { type: "res" }): void {
    const pending = this.#pending.get(frame.id);
    if (!pending) return;
    this.#latencyMs = this.#clock.now() - pending.askedAt;
    if (frame.ok) pending.resolve(frame.payload);
    else
      pending.reject(refusalOf(frame.error ?? { code: "UNKNOWN", message: "The gateway gave no reason." }));
  }

  /** No answer will come any more. */
  lose(error: GatewayError): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

/** The error of work that was superseded, or that a stop of the server ends. */
export const calledOff = () => new GatewayError("The work was called off", { transient: true });
