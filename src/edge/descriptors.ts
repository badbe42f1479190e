import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import type { Log } from "../log.ts";
import { wholeNumber } from "../whole-number.ts";

/** Fewer are told at the start: each socket takes one, and so does each file and each connection to Postgres. */
const FEW = 4_096;
/** The part of all that is kept for Postgres, files and gateways, and how many that is at most. */
const RESERVE_PART = 10;
const MOST_RESERVE = 128;
/** With fewer left besides the reserve no socket is accepted any more. */
const TOO_FEW = 8;
const LOOK_MS = 100;
/** Strangers need this long to say hello, in milliseconds; after the second one nobody is spared. */
const YOUNG_MS = 250;
const PATIENCE_MS = 1_000;
const TOLD_EVERY_MS = 60_000;
const NOTHING = "/dev/null";

/** How many descriptors this process may have; undefined where the system does not tell, or there is no limit. */
export function descriptorLimit(): number | undefined {
  try {
    const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return wholeNumber(limit);
  } catch {
    return undefined;
  }
}

/** What can be done when descriptors run out. */
export interface DescriptorUsers {
  /** Gives back so many if it can, of those who have had so many milliseconds. */
  shed(count: number, leastAgeMs: number): void;
  /** Accepts no sockets from now on. */
  pause(): void;
  /** Accepts sockets again. */
  resume(): void;
}

/**
 * Keeps a reserve of descriptors. The library accepts sockets until none is left, and then tries again and again in vain: the
 * process would be busy with that alone, and every file and connection to Postgres would fail. So some are held from the
 * start, which no socket can take: they are let go once no more sockets are accepted, and taken again before they are.
 */
export class Descriptors {
  readonly #limit: number;
  readonly #users: DescriptorUsers;
  readonly #log: Log;
  readonly #reserve: number;
  readonly #held: number[] = [];
  readonly #timer: NodeJS.Timeout;
  #pausedAt: number | undefined;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(limit: number, users: DescriptorUsers, log: Log) {
    this.#limit = limit;
    this.#users = users;
    this.#log = log;
    this.#reserve = Math.min(Math.floor(limit / RESERVE_PART), MOST_RESERVE);
    if (limit < FEW)
      log.warn(
        { limit },
        `this process may have only ${limit} descriptors, one for each socket and file: raise the limit (ulimit -n)`,
      );
    this.#hold();
    this.#timer = setInterval(() => this.look(), LOOK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#release();
  }

  /** Looks whether there are enough left; cheap as long as there are. */
  look(): void {
    if (this.#pausedAt !== undefined) return this.#lookWhilePaused(this.#pausedAt);
    if (this.#left() >= this.#reserve) return;
    this.#users.shed(this.#reserve - this.#left(), YOUNG_MS);
    const left = this.#left();
    if (left >= TOO_FEW) return;
    this.#pausedAt = performance.now();
    this.#users.pause();
    this.#release();
    this.#tell(left);
  }

  #lookWhilePaused(since: number): void {
    // What is held again leaves half a reserve to those who come then, so that not each of them is the last one.
    const wanted = this.#reserve + Math.max(this.#reserve / 2, TOO_FEW);
    const missing = () => Math.ceil(wanted - (this.#limit - countUsed()));
    const isLong = performance.now() - since > PATIENCE_MS;
    if (missing() > 0) this.#users.shed(missing(), isLong ? 0 : YOUNG_MS);
    if (missing() > 0) return;
    this.#hold();
    this.#pausedAt = undefined;
    this.#users.resume();
  }

  /** At most so many are left: the system gives the lowest number that is free. */
  #left(): number {
    try {
      const lowest = openSync(NOTHING, "r");
      closeSync(lowest);
      return this.#limit - lowest;
    } catch {
      return 0;
    }
  }

  #hold(): void {
    try {
      while (this.#held.length < this.#reserve) this.#held.push(openSync(NOTHING, "r"));
    } catch {
      // There are none: the next look finds that too.
    }
  }

  #release(): void {
    for (const descriptor of this.#held.splice(0)) closeSync(descriptor);
  }

  #tell(left: number): void {
    const now = performance.now();
    if (now - this.#toldAt < TOLD_EVERY_MS) return;
    this.#toldAt = now;
    this.#log.warn(
      { limit: this.#limit, left },
      "no new sockets are accepted until descriptors are free again: raise the limit (ulimit -n)",
    );
  }
}

function countUsed(): number {
  try {
    // One of them is the folder's own.
    return readdirSync("/proc/self/fd").length - 1;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
