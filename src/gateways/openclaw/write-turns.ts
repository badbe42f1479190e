import { Limiter } from "../../limiter.ts";
import { GatewayError } from "../driver.ts";
import { calledOff } from "./pending-requests.ts";

/** Writes that may wait for one gateway. */
const MOST_WAITING = 10_000;

/**
 * The turns of what writes to one gateway's configuration. Every gateway keeps it in one file: of two writes at the same
 * time the older versions lose one, though they answer both well, and the newer ones let them wait for each other until
 * some fail. So one follows the other.
 */
export class WriteTurns {
  readonly #limiter = new Limiter();
  #waiting = 0;

  /**
   * Writes in its turn, which lasts until `write` has settled. Throws GatewayError when the signal calls it off: whoever
   * waits is told at once, but a write that has begun keeps its turn.
   */
  async run<T>(write: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) throw calledOff();
    if (this.#waiting >= MOST_WAITING)
      throw new GatewayError("Too many requests wait for this gateway", { transient: true });
    this.#waiting += 1;
    const written = this.#limiter
      .run("", 1, async () => {
        if (signal?.aborted) throw calledOff();
        return await write();
      })
      .finally(() => {
        this.#waiting -= 1;
      });
    let callOff = () => {};
    const off = new Promise<never>((_, reject) => {
      callOff = () => reject(calledOff());
      signal?.addEventListener("abort", callOff);
    });
    try {
      return await Promise.race([written, off]);
    } finally {
      signal?.removeEventListener("abort", callOff);
    }
  }
}
