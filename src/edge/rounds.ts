import type { UwsTransport } from "./transport.ts";

/** Length of a tick, in milliseconds. */
export const TICK_MS = 250;
/** Ticks in which everybody is looked at once. */
const TICKS_A_ROUND = 20;

/** Looks at all sockets in turn, a few at each tick of a clock of its own that stands still while the process does. */
export class Rounds {
  /** A tick of 0 is none: nothing has happened then. */
  readonly now = { tick: 1 };
  readonly #sockets: ReadonlySet<UwsTransport>;
  /** Goes on where it stood, also when sockets come and go meanwhile. */
  #left: Iterator<UwsTransport>;
  readonly #timer: NodeJS.Timeout;

  constructor(sockets: ReadonlySet<UwsTransport>) {
    this.#sockets = sockets;
    this.#left = sockets.values();
    this.#timer = setInterval(() => this.#tick(), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    this.now.tick += 1;
    for (let due = Math.ceil(this.#sockets.size / TICKS_A_ROUND); due > 0; due--) {
      const { value, done } = this.#left.next();
      if (done) {
        this.#left = this.#sockets.values();
        return;
      }
      value.look();
    }
  }
}
