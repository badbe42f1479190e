import type { Cancel, Clock } from "../clock.ts";
import { Limiter } from "../limiter.ts";
import type { Log } from "../log.ts";
import { PORTION_BYTES, portionsOf } from "./portions.ts";
import type { SnapshotPage } from "./snapshots.ts";
import type { Place, Subscriber, Topic } from "./topic.ts";
import { Turns } from "./turns.ts";

/** What may wait for one subscriber, in bytes. */
const MOST_WAITING_BYTES = 524_288;
/** One with more waiting than this gets nothing more until it has read: the next notification could be too much. */
const LAG_BYTES = MOST_WAITING_BYTES - PORTION_BYTES;
/** What may be left waiting when it goes on. */
const DRAINED_BYTES = LAG_BYTES / 4;
/** How long it may take to read, in milliseconds. */
const DRAIN_DEADLINE_MS = 30_000;
/** Pages of snapshots that are read at a time: thousands who come at once wait for one another, not for the database. */
const PAGES_AT_ONCE = 4;
/** How soon a snapshot is tried again that could not be read, in milliseconds. */
const RETRY_MS = 1_000;

/** The answer to a subscription, and what is to happen once it has been sent. */
export interface Subscription {
  result: object;
  after(): Promise<void>;
}

/** Reads one page of what a topic shows; `cursor` null: the first. */
export type ReadPage = (topic: Topic, cursor: string | null) => Promise<SnapshotPage>;

/** A page as it is sent: in portions, each light enough for one notification. */
interface Parts {
  portions: object[][];
  next: string | null;
}

/** A page that is being read, and where the topic stood when that began. */
interface Reading {
  offset: number;
  page: Promise<Parts>;
}

/** Leads subscribers into the live stream: through what they missed or a snapshot, at the pace at which they read. */
export class Readers {
  readonly #readPage: ReadPage;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #limiter = new Limiter();
  /** Whoever comes at once is sent a page one after the other: each has to be encoded. */
  readonly #turns = new Turns();
  /** Pages that are being read, by cursor: whoever wants them meanwhile shares them. */
  readonly #readings = new Map<Topic, Map<string | null, Reading>>();
  /** Who waits for a subscriber to read. */
  readonly #waiting = new Map<Subscriber, { cancel: Cancel; resume: (() => void)[] }>();

  constructor(parts: { readPage: ReadPage; clock: Clock; log: Log }) {
    this.#readPage = parts.readPage;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  /** Begins for a subscriber: with what it missed since a position, if that is still there, or with a snapshot. */
  async begin(
    topic: Topic,
    subscriber: Subscriber,
    since: { epoch: string; offset: number } | undefined,
  ): Promise<Subscription> {
    const place = topic.hold(subscriber, "reading");
    // Many come back at once when a proxy restarts, and each answer has to be encoded.
    if (since) await this.#turns.next();
    const missed = since && topic.since(since.epoch, since.offset);
    const about = { topic: topic.text, epoch: topic.epoch };
    if (missed) {
      const { offset } = topic;
      return {
        result: { ...about, offset, recovered: true, changes: missed, more: false },
        after: () => this.#finish(topic, subscriber, place, offset, { portions: [], next: null }),
      };
    }
    try {
      const { offset, first, rest } = await this.#firstPage(topic);
      const recovered = since && { recovered: false };
      return {
        result: { ...about, offset, ...recovered, items: first, more: hasMore(rest) },
        after: () => this.#finish(topic, subscriber, place, offset, rest),
      };
    } catch (error) {
      if (topic.isAt(subscriber, place)) topic.remove(subscriber);
      throw error;
    }
  }

  /** Takes those out of the stream who do not read, before something more is published. */
  holdLagging(topic: Topic): void {
    for (const [subscriber, { kind }] of topic.subscribers) {
      if (kind !== "live" || subscriber.bufferedBytes <= LAG_BYTES) continue;
      const place = topic.hold(subscriber, "lagging");
      void this.#room(subscriber).then(() => {
        if (topic.isAt(subscriber, place)) this.reset(topic, subscriber);
      });
    }
  }

  /** The subscriber has read some of what was waiting. */
  drained(subscriber: Subscriber): void {
    if (subscriber.bufferedBytes <= DRAINED_BYTES) this.#resume(subscriber);
  }

  /** The subscriber is gone. */
  closed(subscriber: Subscriber): void {
    this.#resume(subscriber);
  }

  /** Begins anew for one subscriber, from a fresh snapshot. */
  reset(topic: Topic, subscriber: Subscriber): void {
    const place = topic.hold(subscriber, "reading");
    this.#firstPage(topic)
      .then(({ offset, first, rest }) => {
        if (!topic.isAt(subscriber, place)) return;
        const { epoch, text } = topic;
        subscriber.notify("reset", { topic: text, epoch, offset, items: first, more: hasMore(rest) });
        return this.#finish(topic, subscriber, place, offset, rest);
      })
      .catch((error) => this.#tryAgain(topic, subscriber, place, error));
  }

  /** The rest of a page and the further ones, then what came meanwhile, then live. */
  async #finish(
    topic: Topic,
    subscriber: Subscriber,
    place: Place,
    offset: number,
    { portions, next }: Parts,
  ): Promise<void> {
    try {
      for (let rest = { portions, next }; hasMore(rest); ) {
        await this.#room(subscriber);
        if (!topic.isAt(subscriber, place)) return;
        if (rest.portions.length === 0) rest = await this.#page(topic, rest.next, offset).page;
        await this.#turns.next();
        if (!topic.isAt(subscriber, place)) return;
        const [items = [], ...portions] = rest.portions;
        rest = { portions, next: rest.next };
        subscriber.notify("snapshot", { topic: topic.text, items, more: hasMore(rest) });
      }
      if (topic.isAt(subscriber, place) && !topic.goLive(subscriber, offset)) this.reset(topic, subscriber);
    } catch (error) {
      this.#tryAgain(topic, subscriber, place, error);
    }
  }

  #tryAgain(topic: Topic, subscriber: Subscriber, place: Place, error: unknown): void {
    this.#log.warn({ err: error, topic: topic.text }, "a snapshot could not be read; it is tried again");
    this.#clock.after(RETRY_MS, () => {
      if (topic.isAt(subscriber, place)) this.reset(topic, subscriber);
    });
  }

  /** The position comes first, then the page: what is committed in between is in both, and in neither is nothing lost. */
  async #firstPage(topic: Topic): Promise<{ offset: number; first: object[]; rest: Parts }> {
    const { offset, page } = this.#page(topic, null, 0);
    const { portions, next } = await page;
    await this.#turns.next();
    const [first = [], ...others] = portions;
    return { offset, first, rest: { portions: others, next } };
  }

  /** A page that is not older than the position: what it does not show yet, the changes since then bring. */
  #page(topic: Topic, cursor: string | null, since: number): Reading {
    const readings = this.#readings.get(topic) ?? new Map<string | null, Reading>();
    this.#readings.set(topic, readings);
    const shared = readings.get(cursor);
    if (shared && shared.offset >= since) return shared;
    const reading = {
      offset: topic.offset,
      page: this.#limiter
        .run("", PAGES_AT_ONCE, () => this.#readPage(topic, cursor))
        .then(({ items, next }) => ({ portions: portionsOf(items), next })),
    };
    readings.set(cursor, reading);
    const done = () => {
      if (readings.get(cursor) === reading) readings.delete(cursor);
      if (readings.size === 0 && this.#readings.get(topic) === readings) this.#readings.delete(topic);
    };
    reading.page.catch(() => {}).finally(done);
    return reading;
  }

  /** Resolves when the subscriber has read enough, or is gone. One that does not read in time is dismissed. */
  #room(subscriber: Subscriber): Promise<void> {
    if (!subscriber.isOpen || subscriber.bufferedBytes <= LAG_BYTES) return Promise.resolve();
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(subscriber);
      if (waiting) {
        waiting.resume.push(resolve);
        return;
      }
      const cancel = this.#clock.after(DRAIN_DEADLINE_MS, () => {
        subscriber.dismissAsSlow();
        this.#resume(subscriber);
      });
      this.#waiting.set(subscriber, { cancel, resume: [resolve] });
    });
  }

  #resume(subscriber: Subscriber): void {
    const waiting = this.#waiting.get(subscriber);
    if (!waiting) return;
    this.#waiting.delete(subscriber);
    waiting.cancel();
    for (const resume of waiting.resume) resume();
  }
}

function hasMore({ portions, next }: Parts): boolean {
  return portions.length > 0 || next !== null;
}
