import { randomUUID } from "node:crypto";
import type { Codec } from "../protocol/codec.ts";
import { jsonCodec, msgpackCodec } from "../protocol/codec.ts";
import { notification } from "../protocol/messages.ts";
import { type HistoryBounds, Ring, type TopicChange } from "./ring.ts";
import type { TopicName } from "./topics.ts";

/** A session that watches topics. */
export interface Subscriber {
  readonly codec: Codec;
  /** Bytes that wait because it does not read. */
  readonly bufferedBytes: number;
  readonly isOpen: boolean;
  /** From now on what is published on the channel reaches it. */
  join(channel: string): void;
  leave(channel: string): void;
  notify(method: string, params: object): void;
  /** The topic is over: it is not watched any more. */
  ended(topic: string): void;
  /** It did not read in time: it is to go. */
  dismissAsSlow(): void;
}

/** Sends one encoded frame to everyone who joined the channel. */
export type Publish = (channel: string, frame: string | Uint8Array) => void;

/**
 * A subscriber's place in a topic: on its way through a snapshot, live, or out of the stream until it has read what
 * waits. A new object for each time that it begins, so that an older way is told from a newer one.
 */
export interface Place {
  kind: "reading" | "live" | "lagging";
}

/** Bytes of missed changes that are told; with more, a snapshot in pages is kinder to both sides. */
const MOST_RESUMED_BYTES = 1_048_576;

const CODECS = [jsonCodec, msgpackCodec];

/** One topic of one organization: its offset, its latest changes, and who watches. */
export class Topic {
  readonly text: string;
  readonly name: TopicName;
  readonly organizationId: string;
  readonly epoch = randomUUID();
  readonly subscribers = new Map<Subscriber, Place>();
  readonly #history: HistoryBounds;
  #ring: Ring;
  readonly #publish: Publish;
  #offset = 0;
  /** Since when nobody was found to watch, milliseconds since the epoch; 0 while somebody does. */
  emptySince = 0;

  constructor(
    organizationId: string,
    text: string,
    name: TopicName,
    history: HistoryBounds,
    publish: Publish,
  ) {
    this.organizationId = organizationId;
    this.text = text;
    this.name = name;
    this.#history = history;
    this.#ring = new Ring(history);
    this.#publish = publish;
  }

  get offset(): number {
    return this.#offset;
  }

  /** The changes since a position, or undefined when they are not all there any more, or too many for one answer. */
  since(epoch: string, offset: number): TopicChange[] | undefined {
    if (epoch !== this.epoch || this.#ring.weightSince(offset) > MOST_RESUMED_BYTES) return undefined;
    return this.#ring.since(offset, this.#offset);
  }

  /** The next change, to the ring and to everyone who is live. Encoded once for each codec that somebody speaks. */
  change(upserts: readonly object[], removes: readonly string[]): void {
    this.#offset += 1;
    const change = { offset: this.#offset, upserts, removes };
    const sent = this.broadcast("change", change);
    // Where nobody listens just now, it is weighed for those who come back.
    this.#ring.push(change, sent || JSON.stringify(change).length);
  }

  /**
   * A notification to everyone who is live.
   *
   * @returns the bytes of one encoding, 0 when nobody is
   */
  broadcast(method: string, params: object): number {
    const spoken = new Set<Codec>();
    for (const [subscriber, { kind }] of this.subscribers) if (kind === "live") spoken.add(subscriber.codec);
    let bytes = 0;
    for (const codec of CODECS) {
      if (!spoken.has(codec)) continue;
      const frame = codec.encode(notification(method, { topic: this.text, ...params }));
      this.#publish(this.#channelFor(codec), frame);
      bytes = frame.length;
    }
    return bytes;
  }

  /** What came so far is not told any more: from any position before, one has to start again. */
  forget(): void {
    this.#ring = new Ring(this.#history);
    this.#offset += 1;
  }

  /** Makes a subscriber live, after what it has missed since `offset`. False when that is gone. */
  goLive(subscriber: Subscriber, offset: number): boolean {
    const missed = this.#ring.since(offset, this.#offset);
    if (!missed) return false;
    for (const change of missed) subscriber.notify("change", { topic: this.text, ...change });
    this.subscribers.set(subscriber, { kind: "live" });
    subscriber.join(this.#channelFor(subscriber.codec));
    return true;
  }

  /** Nothing is published to the subscriber until it is live again. Returns its new place. */
  hold(subscriber: Subscriber, kind: "reading" | "lagging"): Place {
    const place = { kind };
    if (subscriber.isOpen) subscriber.leave(this.#channelFor(subscriber.codec));
    this.subscribers.set(subscriber, place);
    return place;
  }

  /** Whether the subscriber still is where it was. */
  isAt(subscriber: Subscriber, place: Place): boolean {
    return this.subscribers.get(subscriber) === place;
  }

  remove(subscriber: Subscriber): boolean {
    if (subscriber.isOpen) subscriber.leave(this.#channelFor(subscriber.codec));
    return this.subscribers.delete(subscriber);
  }

  #channelFor(codec: Codec): string {
    return `${this.organizationId}/${this.text}/${codec.name}`;
  }
}
