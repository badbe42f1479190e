import assert from "node:assert/strict";
import type { Message, Wire } from "./wire.ts";

/** A picture of one topic, kept as a client keeps it: snapshot pages, then changes without a gap; a reset begins anew. */
export class View {
  readonly things = new Map<string, Message>();
  readonly wire: Wire;
  readonly topic: string;
  epoch = "";
  offset = 0;
  /** Whether the snapshot is complete. */
  whole = false;
  changes = 0;
  resets = 0;
  /** Messages that carried a part of a snapshot. */
  pages = 0;
  /** The last version of each agent that a change told of. */
  readonly #told = new Map<string, number>();

  private constructor(wire: Wire, topic: string) {
    this.wire = wire;
    this.topic = topic;
  }

  static async open(wire: Wire, topic = "agents", since?: { epoch: string; offset: number }): Promise<View> {
    const view = new View(wire, topic);
    // What comes in the same read as the answer is already there when the answer is looked at.
    view.#begin(await wire.call("subscribe", { topic, ...(since && { since }) }));
    return view.catchUp();
  }

  /** Takes what has arrived; forgets it, so that the test's own memory stays small. */
  catchUp(): this {
    const others: Message[] = [];
    for (const message of this.wire.received.splice(0)) {
      const { method, params } = message;
      if (params?.topic !== this.topic) others.push(message);
      else if (method === "snapshot") this.#page(params);
      else if (method === "reset") {
        this.resets += 1;
        this.#begin(params);
      } else if (method === "change") this.#change(params);
    }
    this.wire.received.push(...others);
    return this;
  }

  versions(): Map<string, number> {
    return new Map([...this.things.values()].map(({ id, version }) => [id, version]));
  }

  #begin({ epoch, offset, items, more, changes }: Message): void {
    this.epoch = epoch;
    if (changes) {
      this.whole = true;
      this.offset = changes.length === 0 ? offset : changes[0].offset - 1;
      for (const change of changes) this.#change(change);
      assert.equal(this.offset, offset);
      return;
    }
    this.offset = offset;
    this.things.clear();
    this.#page({ items, more });
  }

  #page({ items, more }: Message): void {
    this.pages += 1;
    for (const item of items) this.things.set(item.id, item);
    this.whole = !more;
  }

  #change({ offset, upserts, removes }: Message): void {
    assert.ok(this.whole, "a change in the middle of a snapshot");
    assert.equal(offset, this.offset + 1, "the next change");
    this.offset = offset;
    this.changes += 1;
    for (const item of upserts) {
      // Changes may begin before what the snapshot shows, because its position was taken first; they never go back.
      const told = this.#told.get(item.id) ?? 0;
      assert.ok(item.version >= told, `version ${item.version} after ${told}`);
      this.#told.set(item.id, item.version);
      this.things.set(item.id, item);
    }
    for (const id of removes) this.things.delete(id);
  }
}
