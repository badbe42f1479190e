import { agentTopics, type Shown } from "./pending.ts";
import type { Topic } from "./topic.ts";

/** Agents in one notification. */
const MOST_AT_ONCE = 10_000;

/** Id, last_seen (milliseconds since the epoch) and place of an agent by its index. */
export type SeenOf = (index: number) => { id: string; at: number; shown: Shown } | undefined;

/** Last-seen times on their way to those who watch: gathered, and told together. */
export class SeenTimes {
  readonly #seenOf: SeenOf;
  readonly #indexes = new Map<string, Set<number>>();

  constructor(seenOf: SeenOf) {
    this.#seenOf = seenOf;
  }

  /** Notes agents of the organizations that somebody watches. */
  note(indexes: Iterable<number>, watched: ReadonlyMap<string, unknown>): void {
    for (const index of indexes) {
      const organizationId = this.#seenOf(index)?.shown.organizationId;
      if (organizationId === undefined || !watched.has(organizationId)) continue;
      const noted = this.#indexes.get(organizationId) ?? new Set();
      noted.add(index);
      this.#indexes.set(organizationId, noted);
    }
  }

  /**
   * Tells every topic of its agents, as milliseconds before now.
   *
   * @param holdLagging takes those out of a topic first who do not read
   */
  tell(
    topicsOf: (organizationId: string) => ReadonlyMap<string, Topic> | undefined,
    holdLagging: (topic: Topic) => void,
    now: number,
  ): void {
    const at = new Date(now).toISOString();
    for (const [organizationId, indexes] of this.#indexes) {
      const topics = topicsOf(organizationId);
      if (!topics) continue;
      const lists = new Map<string, [string, number][]>();
      for (const index of indexes) {
        const seen = this.#seenOf(index);
        // An agent that is gone may have left its index to another, even of another organization.
        if (!seen || seen.at === 0 || seen.shown.organizationId !== organizationId) continue;
        for (const text of agentTopics(seen.id, seen.shown)) {
          if (!topics.has(text)) continue;
          const list = lists.get(text) ?? [];
          lists.set(text, list);
          list.push([seen.id, Math.max(0, now - seen.at)]);
        }
      }
      for (const [text, agents] of lists) {
        const topic = topics.get(text);
        if (!topic) continue;
        holdLagging(topic);
        for (let start = 0; start < agents.length; start += MOST_AT_ONCE)
          topic.broadcast("seen", { at, agents: agents.slice(start, start + MOST_AT_ONCE) });
      }
    }
    this.#indexes.clear();
  }
}
