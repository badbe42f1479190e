import type { Cancel, Clock } from "../clock.ts";
import { MusterError } from "../protocol/errors.ts";
import { Backoff } from "./backoff.ts";
import { assertFields, assertShape, type Shape } from "./guards.ts";
import type { Answered } from "./requests.ts";
import { RESULTS } from "./results.ts";
import { type MissedChange, missedChange, TOPIC_MESSAGES } from "./topic-messages.ts";
import { type Seen, WatchBuffer } from "./watch-buffer.ts";

/** One step of a live view. */
export type WatchChange<T> =
  /**
   * Items that are there. `reset`: forget all that was known first; changes in between are lost. `more`: the next
   * pages follow as `snapshot`, and changes can come between them.
   */
  | { kind: "snapshot" | "reset"; items: T[]; more: boolean }
  /** Committed changes, in order. */
  | { kind: "change"; offset: number; upserts: T[]; removes: string[] }
  | Seen
  /** Nothing comes after it: the server ended the view, for instance because access was lost. */
  | { kind: "end"; reason: string };

export interface WatchOptions {
  /** Changed items that wait for a slow reader, at most; past it they are dropped for a reset. Default 10,000. */
  mostBuffered?: number | undefined;
}

/** What a client tells its watches. */
export interface Subscription {
  connected(): void;
  disconnected(): void;
  notified(method: string, params: object): void;
  finish(why: MusterError | undefined): void;
}

/** What a watch needs of its client. */
export interface WatchLink {
  isOpen(): boolean;
  ask(method: string, params: object, answered: Answered): void;
  clock: Clock;
  random: () => number;
  /** From now on the watch is told of its topic. Throws when another watch has it. */
  begin(watch: Subscription): void;
  end(): void;
}

const DEFAULT_MOST_BUFFERED = 10_000;

type Phase = "idle" | "disconnected" | "asking" | "live" | "lagging" | "ended";

/**
 * A live view of one topic, as an async iterator. It subscribes at the first `next`, again after every reconnect from
 * where it stood, and from scratch when its reader fell behind.
 */
export class Watch<T extends object> implements AsyncIterableIterator<WatchChange<T>>, Subscription {
  readonly topic: string;
  readonly #shape: Shape<T>;
  readonly #link: WatchLink;
  readonly #buffer: WatchBuffer<T>;
  readonly #backoff: Backoff;
  #phase: Phase = "idle";
  /** Tells the answer to the newest `subscribe` from those to older ones. */
  #turn = 0;
  #cancelRetry: Cancel = () => {};
  #position: { epoch: string; offset: number } | undefined;
  /** The snapshot is whole: only then can the view be resumed from its position. */
  #whole = false;
  #started = false;
  readonly #versions = new Map<string, number>();
  /** Removed while a snapshot's pages come: a page can have been made before. */
  readonly #removed = new Set<string>();

  constructor(topic: string, shape: Shape<T>, link: WatchLink, { mostBuffered }: WatchOptions) {
    this.topic = topic;
    this.#shape = shape;
    this.#link = link;
    this.#buffer = new WatchBuffer(mostBuffered ?? DEFAULT_MOST_BUFFERED);
    this.#backoff = new Backoff(link.random);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next step of the view. Rejects with MusterError when the view or the connection is refused. */
  async next(): Promise<IteratorResult<WatchChange<T>>> {
    if (this.#phase === "idle") {
      this.#link.begin(this);
      this.#subscribe();
    } else if (this.#phase === "lagging") this.#subscribe();
    return this.#buffer.next();
  }

  /** Ends the view; a `for await` loop that is left calls it. */
  async return(): Promise<IteratorResult<WatchChange<T>>> {
    this.#leave();
    this.#buffer.clear();
    this.finish(undefined);
    return { done: true, value: undefined };
  }

  /** The connection is open. */
  connected(): void {
    if (this.#phase === "disconnected") this.#subscribe();
  }

  /** The connection is lost; the server has forgotten the subscription. */
  disconnected(): void {
    if (this.#phase === "asking" || this.#phase === "live") this.#phase = "disconnected";
    this.#cancelRetry();
  }

  /** Nothing more comes: with the reason, if it was not wanted. */
  finish(why: MusterError | undefined): void {
    if (this.#phase === "ended") return;
    if (this.#phase !== "idle") this.#link.end();
    this.#phase = "ended";
    this.#cancelRetry();
    this.#versions.clear();
    this.#removed.clear();
    this.#buffer.finish(why);
  }

  /** A notification of this topic. Before the answer to `subscribe` it belongs to an earlier subscription. */
  notified(method: string, params: object): void {
    if (this.#phase !== "live") return;
    this.#guarded(() => {
      if (method === "change") {
        assertFields("internal", this.#misread, params, TOPIC_MESSAGES.change);
        this.#change(params);
      } else if (method === "seen") {
        assertFields("internal", this.#misread, params, TOPIC_MESSAGES.seen);
        const { at, agents } = params;
        this.#buffer.pushSeen({ kind: "seen", at, agents });
      } else if (method === "snapshot") {
        assertFields("internal", this.#misread, params, TOPIC_MESSAGES.snapshot);
        this.#page(params);
      } else if (method === "reset") {
        assertFields("internal", this.#misread, params, TOPIC_MESSAGES.reset);
        this.#startOver(params);
      } else if (method === "end") {
        assertFields("internal", this.#misread, params, TOPIC_MESSAGES.end);
        this.#buffer.push({ kind: "end", reason: params.reason });
        this.finish(undefined);
      }
    });
  }

  #subscribe(): void {
    if (!this.#link.isOpen()) {
      this.#phase = "disconnected";
      return;
    }
    this.#phase = "asking";
    this.#turn += 1;
    const turn = this.#turn;
    const since = this.#whole ? this.#position : undefined;
    this.#link.ask("subscribe", { topic: this.topic, since }, (error, result) => {
      if (turn !== this.#turn || this.#phase !== "asking") return;
      if (error !== undefined) this.#refused(error);
      else this.#guarded(() => this.#subscribed(result));
    });
  }

  #refused(error: MusterError): void {
    if (!["unavailable", "timeout", "rate_limited"].includes(error.reason)) {
      this.finish(error);
      return;
    }
    this.#phase = "disconnected";
    this.#cancelRetry = this.#link.clock.after(this.#backoff.next(), () => this.connected());
  }

  #subscribed(result: unknown): void {
    assertFields("internal", this.#misread, result, RESULTS.subscribe);
    this.#phase = "live";
    this.#backoff.reset();
    const { epoch, offset, items = [], more } = result;
    if (result.recovered !== true) {
      this.#startOver({ epoch, offset, items, more });
      return;
    }
    for (const change of result.changes ?? []) {
      assertFields("internal", this.#misread, change, missedChange);
      // Asked for again it would be the same.
      if (this.#isGap(change)) throw new MusterError("internal", `${this.#misread}: changes must go on`);
      this.#change(change);
    }
    if (this.#live()) this.#position = { epoch, offset };
  }

  #startOver(from: { epoch: string; offset: number; items: unknown[]; more: boolean }): void {
    this.#position = { epoch: from.epoch, offset: from.offset };
    this.#whole = !from.more;
    this.#versions.clear();
    this.#removed.clear();
    this.#buffer.clear();
    const kind = this.#started ? "reset" : "snapshot";
    this.#started = true;
    this.#buffer.push({ kind, items: this.#fresh(from.items), more: from.more });
  }

  #page({ items, more }: { items: unknown[]; more: boolean }): void {
    const page = this.#fresh(items).filter((item) => !this.#wasRemoved(item));
    this.#whole = !more;
    if (!more) this.#removed.clear();
    this.#buffer.push({ kind: "snapshot", items: page, more });
  }

  #change(change: MissedChange): void {
    const { offset, removes } = change;
    if (this.#position === undefined || !this.#live() || offset <= this.#position.offset) return;
    if (this.#isGap(change)) {
      // Something was missed on the way: asked for again from where we stand.
      this.#subscribe();
      return;
    }
    this.#position.offset = offset;
    const upserts = this.#fresh(change.upserts);
    for (const id of removes) {
      this.#versions.delete(id);
      if (!this.#whole) this.#removed.add(id);
    }
    if (upserts.length + removes.length === 0) return;
    if (!this.#buffer.push({ kind: "change", offset, upserts, removes })) this.#lag();
  }

  /** Changes before it are missing. */
  #isGap({ offset }: MissedChange): boolean {
    return this.#position !== undefined && offset > this.#position.offset + 1;
  }

  /** The reader is too slow: what waits for it is dropped, and it starts over when it asks again. */
  #lag(): void {
    this.#leave();
    this.#phase = "lagging";
    this.#buffer.clear();
    this.#whole = false;
  }

  #leave(): void {
    if (this.#phase === "live" || this.#phase === "asking")
      this.#link.ask("unsubscribe", { topic: this.topic }, () => {});
  }

  #live(): boolean {
    return this.#phase === "live";
  }

  /** A page can have been made before a removal that was told already. */
  #wasRemoved(item: { id?: unknown }): boolean {
    return typeof item.id === "string" && this.#removed.has(item.id);
  }

  /** The items that are not older than what is known of them. */
  #fresh(items: unknown[]): T[] {
    const fresh: T[] = [];
    for (const item of items) {
      assertShape("internal", this.#misread, item, this.#shape);
      const { id, version }: { id?: unknown; version?: unknown } = item;
      // Other things than agents are not counted: a gateway's version is its program's.
      if (typeof id === "string" && typeof version === "number") {
        if (version < (this.#versions.get(id) ?? 0)) continue;
        this.#versions.set(id, version);
      }
      fresh.push(item);
    }
    return fresh;
  }

  /** What cannot be read ends the view: to go on would show something wrong. */
  #guarded(take: () => void): void {
    try {
      take();
    } catch (cause) {
      this.#leave();
      this.finish(
        cause instanceof MusterError ? cause : new MusterError("internal", this.#misread, {}, { cause }),
      );
    }
  }

  /** How the error begins that ends the watch. */
  get #misread(): string {
    return `${this.topic}: the server sent what is none of this protocol`;
  }
}
