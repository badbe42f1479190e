import type { Cancel, Clock } from "../clock.ts";
import type { ClientSocket } from "./socket.ts";

export const NORMAL_CLOSE = 1000;
/** How long the other side may take to answer our close. */
const CLOSE_TIMEOUT_MS = 1_000;

/** The end of a socket from our side: what was sent still leaves, but nobody is waited for for long. */
export class Closing {
  /** Resolves when the socket is closed. */
  readonly done: Promise<void>;
  readonly #socket: ClientSocket;
  readonly #cancel: Cancel;
  #resolve: () => void = () => {};

  constructor(socket: ClientSocket, clock: Clock) {
    this.#socket = socket;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#cancel = clock.after(CLOSE_TIMEOUT_MS, () => {
      socket.abort();
      this.#resolve();
    });
    socket.close(NORMAL_CLOSE, "");
  }

  /** A socket is closed; it need not be this one. */
  closed(socket: ClientSocket): void {
    if (socket !== this.#socket) return;
    this.#cancel();
    this.#resolve();
  }
}
