import { MusterError } from "../protocol/errors.ts";
import { failure, type MessageId, success } from "../protocol/messages.ts";

/** Requests of the server's under way at a time; one more is refused. */
const MOST_SERVED = 1_000;

/** What the server asks of us, and the answers. */
export class ServedRequests {
  #running = 0;

  /** The message that answers a request. A MusterError is told as it is, another error by its message. Never rejects. */
  async answer(id: MessageId, serve: () => Promise<unknown>): Promise<object> {
    if (this.#running >= MOST_SERVED)
      return failure(id, new MusterError("rate_limited", `${MOST_SERVED} requests are under way already`));
    this.#running += 1;
    try {
      return success(id, await serve());
    } catch (error) {
      if (error instanceof MusterError) return failure(id, error);
      return failure(id, new MusterError("internal", error instanceof Error ? error.message : String(error)));
    } finally {
      this.#running -= 1;
    }
  }
}
