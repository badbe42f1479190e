import type { BeatSender } from "../actors/beats.ts";

/** A channel whose latest heartbeats go through the agent's machine, and are committed apart. */
export interface SlowBeat {
  /** The first number of this session that waits for it. */
  readonly waitingSince: number;
}

/**
 * Which of a session's numbered heartbeats Postgres has. Those on the short way are committed with a batch, all at once;
 * those that go through a machine hold back every number from theirs on until they are committed too.
 */
export class Acknowledgements implements BeatSender {
  isExpecting = false;
  readonly #to: { acknowledged(n: number): void };
  /** Few sessions have any. */
  #slow: Set<SlowBeat> | undefined;
  #isTelling = false;
  /** The greatest number received, the greatest in the batch under way, the greatest in Postgres, the last one sent. */
  #received = -1;
  #marked = -1;
  #flushed = -1;
  #sent = -1;

  /** @param to told, for the other side, that everything up to n is committed */
  constructor(to: { acknowledged(n: number): void }) {
    this.#to = to;
  }

  received(n: number): void {
    // No number before the first is ever named: nobody has sent it.
    if (this.#received === -1) this.#sent = n - 1;
    if (n > this.#received) this.#received = n;
  }

  hold(beat: SlowBeat): void {
    this.#slow ??= new Set();
    this.#slow.add(beat);
  }

  /** It is committed, or will never be. Many that one commit releases are told of together. */
  release(beat: SlowBeat): void {
    const isReleased = this.#slow?.delete(beat);
    if (this.#slow?.size === 0) this.#slow = undefined;
    if (!isReleased || this.#isTelling) return;
    this.#isTelling = true;
    setImmediate(() => {
      this.#isTelling = false;
      this.#tell();
    });
  }

  /** The heartbeat n goes with a later batch than the one that its number was counted to. */
  takeBack(n: number): void {
    this.#marked = Math.min(this.#marked, n - 1);
    this.#flushed = Math.min(this.#flushed, n - 1);
  }

  mark(): void {
    this.#marked = this.#received;
  }

  acknowledge(): void {
    this.#flushed = this.#marked;
    this.#tell();
  }

  #tell(): void {
    let n = this.#flushed;
    if (this.#slow) for (const { waitingSince } of this.#slow) n = Math.min(n, waitingSince - 1);
    if (n <= this.#sent) return;
    this.#sent = n;
    this.#to.acknowledged(n);
  }
}
