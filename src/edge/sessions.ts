import type { Cancel, Clock } from "../clock.ts";
import { CLOSE } from "../protocol/close-codes.ts";
import type { Session } from "./session.ts";

/** How often expired tokens are looked for, in milliseconds. */
const EXPIRY_SWEEP_MS = 1_000;
/** A draining server lets so many sessions go at a time, and pauses between, so that they do not all come back at once. */
const DRAIN_BATCH = 500;
const DRAIN_PAUSE_MS = 20;
/** Clients are asked to stay away for a random part of this, in milliseconds. */
const RECONNECT_WITHIN_MS = 2_000;

/** All sessions of this server. */
export class Sessions {
  readonly #sessions = new Set<Session>();
  readonly #cancelSweep: Cancel;

  constructor(clock: Clock) {
    this.#cancelSweep = clock.every(EXPIRY_SWEEP_MS, () => {
      const now = clock.now();
      for (const session of this.#sessions)
        if (session.expiresAt !== null && session.expiresAt <= now) session.close(CLOSE.tokenRevoked);
    });
  }

  get size(): number {
    return this.#sessions.size;
  }

  [Symbol.iterator](): Iterator<Session> {
    return this.#sessions.values();
  }

  add(session: Session): void {
    this.#sessions.add(session);
  }

  remove(session: Session): void {
    this.#sessions.delete(session);
  }

  /** A token was revoked, or an agent is gone: the sessions that were opened with it end. */
  end(of: { tokenId: string } | { agentId: string }): void {
    for (const session of [...this.#sessions])
      if ("tokenId" in of ? session.tokenId === of.tokenId : session.agentId === of.agentId)
        session.close(CLOSE.tokenRevoked);
  }

  /** Tells every session that the server goes away, and lets them go in batches. */
  async drain(): Promise<void> {
    this.#cancelSweep();
    const all = [...this.#sessions];
    for (let start = 0; start < all.length; start += DRAIN_BATCH) {
      if (start > 0) await new Promise((resolve) => setTimeout(resolve, DRAIN_PAUSE_MS));
      for (const session of all.slice(start, start + DRAIN_BATCH)) {
        session.notify("drain", { reconnect_after_ms: Math.round(Math.random() * RECONNECT_WITHIN_MS) });
        session.close(CLOSE.goingAway);
      }
    }
  }
}
