import { setTimeout as pause } from "node:timers/promises";
import type { Fleet } from "../../test/support/fleet.ts";
import type { Wire } from "../../test/support/wire.ts";

/** Messages under way while the greatest rate is looked for. */
const UNDER_WAY = 8;
/** What is not acknowledged after so long is lost, in milliseconds. */
const SETTLED_MS = 30_000;

/** Sends heartbeats of a fleet, and measures how long their acknowledgements take. */
export class Beats {
  readonly #wire: Wire;
  readonly #fleet: Fleet;
  readonly #aMessage: number;
  readonly #frames: Buffer[] = [];
  readonly #sentAt = new Map<number, number>();
  #took: number[] = [];
  #onAck = () => {};

  /** @param aMessage how many agents beat with one message */
  constructor(wire: Wire, fleet: Fleet, aMessage = 500) {
    this.#aMessage = aMessage;
    this.#wire = wire;
    this.#fleet = fleet;
    for (let first = 0; first < fleet.channels.length; first += this.#aMessage) {
      const channels = fleet.channels.slice(first, first + this.#aMessage);
      const bytes = Buffer.alloc(channels.length * 4);
      for (const [position, ch] of channels.entries()) bytes.writeUInt32LE(ch, position * 4);
      this.#frames.push(bytes);
    }
    wire.received.length = 0;
    wire.socket.on("message", () => {
      const now = performance.now();
      for (const { method, params } of wire.received.splice(0)) {
        if (method !== "ack") continue;
        for (const [n, at] of this.#sentAt) {
          if (n > params.n) break;
          this.#took.push(now - at);
          this.#sentAt.delete(n);
        }
      }
      this.#onAck();
    });
  }

  /** Heartbeats a second that are acknowledged when there are always some under way. */
  async greatest(seconds: number): Promise<number> {
    const fill = () => {
      while (this.#sentAt.size < UNDER_WAY) this.#send();
    };
    this.#took = [];
    this.#onAck = fill;
    fill();
    await pause(seconds * 1_000);
    this.#onAck = () => {};
    const rate = (this.#took.length * this.#aMessage) / seconds;
    await this.#settled();
    return rate;
  }

  /** Messages that were sent and are not acknowledged. */
  get open(): number {
    return this.#sentAt.size;
  }

  /** Sends at a steady rate until something has ended. How long each acknowledgement took, in milliseconds. */
  async steady(rate: number, until: Promise<unknown>): Promise<number[]> {
    let ended = false;
    const end = until.finally(() => {
      ended = true;
    });
    // It is awaited below, when what is under way has been sent.
    end.catch(() => {});
    this.#took = [];
    const began = performance.now();
    for (let sent = 0; !ended; sent++) {
      this.#send();
      const ahead = began + ((sent + 1) * this.#aMessage * 1_000) / rate - performance.now();
      if (ahead > 0) await pause(ahead);
    }
    await end;
    await this.#settled();
    return this.#took;
  }

  #send(): void {
    const n = ++this.#fleet.n;
    this.#sentAt.set(n, performance.now());
    this.#wire.notify("heartbeats", { n, chs: this.#frames[n % this.#frames.length] });
  }

  /** Waits for what is open; what is lost stays so. */
  async #settled(): Promise<void> {
    for (const deadline = performance.now() + SETTLED_MS; this.open > 0; await pause(5))
      if (performance.now() > deadline) return;
  }
}
