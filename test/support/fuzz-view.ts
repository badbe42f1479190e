import type { Message } from "./wire.ts";

/**
 * A live view of one topic as the protocol describes it, kept by the simplest means, and a judge of what comes: every
 * offset is the next one, every notification is one that may come now.
 */
export class FuzzView {
  readonly topic: string;
  readonly items = new Map<string, Message>();
  /** Where it stands, or null before the first snapshot. */
  position: { epoch: string; offset: number } | null = null;
  /** Every page of the snapshot is there. */
  whole = false;
  state: "asking" | "live" | "off" | "ended" = "off";
  /** Ids of what came as a change after the last snapshot. */
  readonly #streamed = new Set<string>();
  readonly #complain: (what: string) => void;

  constructor(topic: string, complain: (what: string) => void) {
    this.topic = topic;
    this.#complain = (what) => complain(`${topic}: ${what}`);
  }

  /** From where it can be resumed. */
  get since(): { epoch: string; offset: number } | undefined {
    return this.whole && this.position ? { ...this.position } : undefined;
  }

  /** The answer to `subscribe`, which was sent with `since` or without. */
  begun(result: Message, since: { epoch: string; offset: number } | undefined): void {
    this.state = "live";
    if (result.recovered !== true) {
      if (since && result.recovered !== false) this.#complain("a resume was answered without a word on it");
      this.#startOver(result);
      return;
    }
    if (!since || since.epoch !== result.epoch) this.#complain("recovered what could not be");
    for (const change of result.changes) this.#change(change);
    if (this.position?.offset !== result.offset)
      this.#complain(`recovered up to ${this.position?.offset}, not up to ${result.offset}`);
  }

  notified(method: string, params: Message): void {
    // What comes before the answer to a newer request belongs to an older one.
    if (this.state === "asking") return;
    if (this.state !== "live") return this.#complain(`${method} came although it is not watched`);
    if (method === "change") this.#change(params);
    else if (method === "snapshot") this.#page(params);
    else if (method === "reset") this.#reset(params);
    else if (method === "end") this.state = "ended";
  }

  #startOver({ epoch, offset, items, more }: Message): void {
    this.position = { epoch, offset };
    this.whole = !more;
    this.items.clear();
    this.#streamed.clear();
    for (const item of items) this.items.set(item.id, item);
  }

  #page({ items, more }: Message): void {
    if (this.whole) this.#complain("a page came after the last one");
    for (const item of items) this.items.set(item.id, item);
    this.whole = !more;
  }

  #reset(params: Message): void {
    const { position } = this;
    if (position && position.epoch === params.epoch && params.offset < position.offset)
      this.#complain(`reset from ${position.offset} back to ${params.offset}`);
    this.#startOver(params);
  }

  #change({ offset, upserts, removes }: Message): void {
    const { position } = this;
    if (!position) return this.#complain("a change came before the snapshot");
    if (offset !== position.offset + 1) this.#complain(`offset ${offset} came after ${position.offset}`);
    position.offset = offset;
    for (const item of upserts) {
      const known: number | undefined = this.items.get(item.id)?.version;
      const isOlder = known !== undefined && known > item.version;
      // A snapshot can be ahead of its position: what comes first after it may be in it already.
      if (isOlder && this.#streamed.has(item.id))
        this.#complain(`version ${item.version} of ${item.id} came after ${known}`);
      if (isOlder) continue;
      this.items.set(item.id, item);
      this.#streamed.add(item.id);
    }
    for (const id of removes) this.items.delete(id);
  }
}
