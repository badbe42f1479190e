import type { Cancel } from "../clock.ts";

/** Sockets without a good token that one address may have. */
const MOST_OF_AN_ADDRESS = 64;
/** Bytes that all of them together may make the server hold. */
const MOST_BYTES = 256 * 1_048_576;
/** Of these, the part for sockets that were closed and may still be there. */
const PARTING_SHARE = 0.25;
/** Those that have sent a whole message, and so hold less: refused tokens, mostly, whose holders must hear that they are bad. */
const MOST_PARTING_SPOKEN = 512;
/** A socket that was told why it is closed is gone after this at the latest, in milliseconds, if it only reads. */
const PARTED_AFTER_MS = 20_000;
/** Nobody has to leave before this, in milliseconds: a hello needs its time to get here. */
const LEAST_STAY_MS = 250;
/** Upgrades that wait for a place, of all addresses: each costs a descriptor and some 3 KB. */
const MOST_WAITING = 16_384;
/** How long an upgrade waits at most, in milliseconds. */
const WAITED_ENOUGH_MS = 10_000;
const TICK_MS = 50;

/** An upgrade that waits for a place. */
export interface Waiting {
  /** There is a place now: `enter` is to be called before this returns. Not called from within a handler of the library. */
  open(): void;
  /** There is none, and will be none soon. */
  refuse(): void;
}

/** A socket that has shown no good token yet. */
export interface Stranger {
  readonly address: Address;
  readonly since: number;
  /** Closes it: with a word about why, or at once. */
  readonly dismiss: (atOnce: boolean) => void;
}

/** The strangers of one address, the oldest first, and the upgrades that wait there. */
class Address {
  readonly key: string;
  readonly silent = new Set<Stranger>();
  readonly spoken = new Set<Stranger>();
  readonly waiting = new Map<Waiting, number>();

  constructor(key: string) {
    this.key = key;
  }

  get size(): number {
    return this.silent.size + this.spoken.size;
  }
}

/**
 * Bounds what those who have shown no good token can make the server hold: how many of them there are, of one address and in
 * all. At the bound the oldest that has sent nothing goes, or the oldest if all have sent something; but nobody before he
 * could say hello, so that a fleet that comes back at once does not push itself out: meanwhile the newest waits.
 */
export class Strangers {
  readonly #most: number;
  readonly #mostParting: number;
  readonly #addresses = new Map<string, Address>();
  readonly #silent = new Set<Stranger>();
  readonly #spoken = new Set<Stranger>();
  /** When sockets were closed with a word, as long as they may still be there. */
  readonly #parting: number[] = [];
  readonly #partingSpoken: number[] = [];
  /** Addresses where upgrades wait, the one that had its turn last at the end. */
  readonly #crowded = new Set<Address>();
  #waiting = 0;
  #timer: NodeJS.Timeout | undefined;
  #serving: NodeJS.Immediate | undefined;
  #closed = false;

  /** @param bytesOfOne what one of them can make the server hold at most */
  constructor(bytesOfOne: number) {
    const all = Math.floor(MOST_BYTES / bytesOfOne);
    this.#mostParting = Math.floor(all * PARTING_SHARE);
    this.#most = all - this.#mostParting;
  }

  /** Sockets and waiting upgrades. */
  get size(): number {
    return this.#silent.size + this.#spoken.size + this.#waiting;
  }

  /** Whether a socket of this address can be opened right now; somebody else may have been dismissed for it. */
  admits(key: string): boolean {
    const address = this.#addresses.get(key);
    if (address !== undefined && address.waiting.size > 0) return false;
    // Who waits although his own address has room came first.
    for (const other of this.#crowded) if (other.size < MOST_OF_AN_ADDRESS) return false;
    return this.#makeRoom(address);
  }

  /** Has an upgrade wait for its place. The returned function takes it back. */
  wait(key: string, waiting: Waiting): Cancel {
    if (this.#waiting >= MOST_WAITING || this.#closed) {
      waiting.refuse();
      return () => {};
    }
    const address = this.#addressOf(key);
    address.waiting.set(waiting, performance.now());
    this.#crowded.add(address);
    this.#waiting += 1;
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
    return () => {
      if (this.#unqueue(address, waiting)) this.#forget(address);
    };
  }

  /** A socket of this address has opened. */
  enter(key: string, dismiss: (atOnce: boolean) => void): Stranger {
    const address = this.#addressOf(key);
    const stranger = { address, since: performance.now(), dismiss };
    address.silent.add(stranger);
    this.#silent.add(stranger);
    return stranger;
  }

  /** It has sent a whole message. */
  spoke(stranger: Stranger): void {
    if (!this.#silent.delete(stranger)) return;
    stranger.address.silent.delete(stranger);
    stranger.address.spoken.add(stranger);
    this.#spoken.add(stranger);
  }

  /** It has shown a token, or is gone. */
  leave(stranger: Stranger): void {
    const { address } = stranger;
    if (!this.#silent.delete(stranger) && !this.#spoken.delete(stranger)) return;
    address.silent.delete(stranger);
    address.spoken.delete(stranger);
    this.#forget(address);
    // Later, as an upgrade must not be granted from within another socket's handler.
    if (this.#waiting > 0) this.#serving ??= setImmediate(() => this.#serve());
  }

  /** Whether one that is closed may be told why: until it is gone, what it has sent is held. */
  mayPart(stranger: Stranger): boolean {
    const hasSpoken = this.#spoken.has(stranger);
    const parting = hasSpoken ? this.#partingSpoken : this.#parting;
    const now = performance.now();
    while (parting[0] !== undefined && parting[0] < now - PARTED_AFTER_MS) parting.shift();
    if (parting.length >= (hasSpoken ? MOST_PARTING_SPOKEN : this.#mostParting)) return false;
    parting.push(now);
    return true;
  }

  /**
   * Gives back so many descriptors if it can, of those who came so many milliseconds ago: first of those who have sent
   * nothing, then of those who wait, then of the others, each time of the oldest.
   */
  shed(count: number, leastAgeMs: number): void {
    const latest = performance.now() - leastAgeMs;
    let left = count;
    const dismiss = (strangers: Iterable<Stranger>) => {
      for (const stranger of strangers) {
        if (left <= 0 || stranger.since > latest) return;
        left -= 1;
        stranger.dismiss(true);
      }
    };
    dismiss(this.#silent);
    for (const address of this.#crowded)
      for (const [waiting, since] of address.waiting) {
        if (left <= 0 || since > latest) break;
        left -= 1;
        this.#refuse(address, waiting);
      }
    dismiss(this.#spoken);
  }

  /** Nobody waits any more. */
  close(): void {
    this.#closed = true;
    for (const address of this.#crowded)
      for (const waiting of address.waiting.keys()) this.#refuse(address, waiting);
  }

  #tick(): void {
    const tooOld = performance.now() - WAITED_ENOUGH_MS;
    for (const address of this.#crowded)
      for (const [waiting, since] of address.waiting) {
        if (since > tooOld) break;
        this.#refuse(address, waiting);
      }
    this.#serve();
  }

  /** Opens what can be opened, one of each address in turn. */
  #serve(): void {
    this.#serving = undefined;
    for (const address of this.#crowded) {
      const [waiting] = address.waiting.keys();
      if (waiting === undefined || !this.#makeRoom(address)) continue;
      this.#unqueue(address, waiting);
      if (address.waiting.size > 0) {
        // At the end of the set, where this loop comes by again.
        this.#crowded.delete(address);
        this.#crowded.add(address);
      }
      waiting.open();
      this.#forget(address);
    }
  }

  #makeRoom(address: Address | undefined): boolean {
    const isFull = address !== undefined && address.size >= MOST_OF_AN_ADDRESS;
    if (!isFull && this.#silent.size + this.#spoken.size < this.#most) return true;
    const { silent, spoken } = isFull ? address : { silent: this.#silent, spoken: this.#spoken };
    const [oldest] = silent.size > 0 ? silent : spoken;
    if (oldest === undefined || oldest.since > performance.now() - LEAST_STAY_MS) return false;
    oldest.dismiss(false);
    return true;
  }

  #refuse(address: Address, waiting: Waiting): void {
    this.#unqueue(address, waiting);
    waiting.refuse();
    this.#forget(address);
  }

  #unqueue(address: Address, waiting: Waiting): boolean {
    if (!address.waiting.delete(waiting)) return false;
    this.#waiting -= 1;
    if (address.waiting.size === 0) this.#crowded.delete(address);
    if (this.#waiting === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    return true;
  }

  #addressOf(key: string): Address {
    let address = this.#addresses.get(key);
    if (address === undefined) {
      address = new Address(key);
      this.#addresses.set(key, address);
    }
    return address;
  }

  #forget(address: Address): void {
    if (address.size === 0 && address.waiting.size === 0 && this.#addresses.get(address.key) === address)
      this.#addresses.delete(address.key);
  }
}
