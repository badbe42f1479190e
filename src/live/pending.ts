import { topicsOf } from "./topics.ts";

/** Where an agent is shown. */
export interface Shown {
  organizationId: string;
  boardId: string | null;
  gatewayId: string;
}

/** The topics about agents that one is shown in. */
export function agentTopics(agentId: string, { boardId, gatewayId }: Shown): string[] {
  return topicsOf("agents", { boardId, gatewayId, agentId });
}

/** Few agents that change leave anything. */
const NONE: ReadonlySet<string> = new Set();

/** What waits for one organization's next tick; several changes of one agent are one, the last. */
export class Pending {
  /** Agents to read again, each with the topics that it has left. */
  readonly touched = new Map<string, ReadonlySet<string>>();
  /** Agents that are gone, each with the topics it was in. */
  readonly gone = new Map<string, Set<string>>();
  /** New entries of the log, and commands, by topic. */
  readonly entries = new Map<string, object[]>();
  readonly #lastKeys = new Map<string, string>();

  get isEmpty(): boolean {
    return this.touched.size + this.gone.size + this.entries.size === 0;
  }

  touch(agentId: string, left: readonly string[]): void {
    const before = this.touched.get(agentId) ?? NONE;
    this.touched.set(agentId, left.length === 0 ? before : new Set([...before, ...left]));
  }

  remove(agentId: string, shown: readonly string[]): void {
    const left = this.touched.get(agentId) ?? [];
    this.touched.delete(agentId);
    this.gone.set(agentId, new Set([...left, ...shown]));
  }

  /** Whether the agent, taken out as touched, has gone since: then it is told of as gone, also where it had left. */
  hasGone(agentId: string, left: Iterable<string>): boolean {
    const gone = this.gone.get(agentId);
    for (const topic of left) gone?.add(topic);
    return gone !== undefined;
  }

  /**
   * @param key entries of one key that follow one another in a topic are one, the last
   * @returns how many wait in that topic now
   */
  enter(topic: string, entry: object, key?: string): number {
    const waiting = this.entries.get(topic) ?? [];
    this.entries.set(topic, waiting);
    if (key !== undefined && this.#lastKeys.get(topic) === key && waiting.length > 0) waiting.pop();
    if (key === undefined) this.#lastKeys.delete(topic);
    else this.#lastKeys.set(topic, key);
    return waiting.push(entry);
  }

  /** Takes out so many touched agents; `putBack` when they could not be read. */
  takeTouched(most: number): { taken: [string, ReadonlySet<string>][]; putBack(): void } {
    const taken: [string, ReadonlySet<string>][] = [];
    for (const entry of this.touched) if (taken.push(entry) === most) break;
    for (const [id] of taken) this.touched.delete(id);
    return {
      taken,
      putBack: () => {
        for (const [id, left] of taken) if (!this.hasGone(id, left)) this.touch(id, [...left]);
      },
    };
  }
}
