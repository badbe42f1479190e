import { CLOSE } from "../protocol/close-codes.ts";
import type { Session } from "./session.ts";

/** A draining server lets so many sessions go at a time, and pauses between, so that they do not all come back at once. */
const DRAIN_BATCH = 500;
const DRAIN_PAUSE_MS = 20;
/** Clients are asked to stay away for a random part of this, in milliseconds. */
const RECONNECT_WITHIN_MS = 2_000;

/** All sessions of this server. */
export class Sessions {
  readonly #sessions = new Set<Session>();

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

  /** Tokens were revoked, or an agent is gone: the sessions that were opened with them end. */
  end(of: { tokenIds: readonly string[] } | { agentId: string }): void {
    const tokenIds = "tokenIds" in of ? new Set(of.tokenIds) : undefined;
    if (tokenIds?.size === 0) return;
    const isOver = ({ tokenId, agentId }: Session) =>
      "agentId" in of ? agentId === of.agentId : tokenId !== undefined && tokenIds?.has(tokenId);
    for (const session of [...this.#sessions]) if (isOver(session)) session.close(CLOSE.tokenRevoked);
  }

  /** Tells every session that the server goes away, and lets them go in batches. */
  async drain(): Promise<void> {
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
