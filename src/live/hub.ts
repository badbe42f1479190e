import type { Cancel, Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { AgentCommand } from "../protocol/agent-commands.ts";
import type { Agent } from "../protocol/agents.ts";
import type { ChatEntry, GatewayLink } from "../protocol/gateway-links.ts";
import { type ActivityDraft, toActivityEvent } from "../store/activity.ts";
import { type Presence, toAgent } from "../store/agent-rows.ts";
import { readAgents } from "../store/agents.ts";
import type { Database } from "../store/database.ts";
import { agentTopics, Pending, type Shown } from "./pending.ts";
import { portionsOf } from "./portions.ts";
import { Readers, type Subscription } from "./readers.ts";
import type { HistoryBounds } from "./ring.ts";
import { type SeenOf, SeenTimes } from "./seen-times.ts";
import { readSnapshot } from "./snapshots.ts";
import { type Publish, type Subscriber, Topic } from "./topic.ts";
import { parseTopic, TOPIC_KINDS, topicsOf } from "./topics.ts";

/** Changes of one agent within this time are one, in milliseconds. */
const TICK_MS = 50;
const SEEN_MS = 1_000;
/** Agents read and pushed in one tick; the others come with the next. */
const MOST_A_TICK = 2_000;
/** Entries that may wait for a tick in one topic; beyond, its watchers start again from a snapshot. */
const MOST_ENTRIES = 5_000;
/** How long a topic that nobody watches keeps its place, for those who come back, in milliseconds. */
const LINGER_MS = 60_000;

/** What subscribers need to know that Postgres does not. */
export interface AgentsInMemory {
  /** Undefined where there is no link to that gateway. */
  linkOf(gatewayId: string): GatewayLink | undefined;
  presenceOf(agentId: string): Presence;
  seenOf: SeenOf;
}

/** Pushes what has been committed to those who watch. Nothing is read, kept or encoded where nobody does. */
export class Hub {
  readonly #database: Database;
  readonly #agents: AgentsInMemory;
  readonly #publish: Publish;
  readonly #history: HistoryBounds;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #readers: Readers;
  readonly #seen: SeenTimes;
  /** By organization, then by the topic's text. */
  readonly #topics = new Map<string, Map<string, Topic>>();
  readonly #pending = new Map<string, Pending>();
  #ticking: NodeJS.Timeout | undefined;
  #stopped = false;
  readonly #cancelSeen: Cancel;

  constructor(parts: {
    database: Database;
    agents: AgentsInMemory;
    publish: Publish;
    history: HistoryBounds;
    clock: Clock;
    log: Log;
  }) {
    const { database, agents, clock, log } = parts;
    this.#database = database;
    this.#agents = agents;
    this.#publish = parts.publish;
    this.#history = parts.history;
    this.#clock = clock;
    this.#log = log;
    this.#seen = new SeenTimes(agents.seenOf);
    this.#readers = new Readers({
      readPage: ({ organizationId, name }, cursor) =>
        readSnapshot(database, agents, organizationId, name, cursor),
      clock,
      log,
    });
    this.#cancelSeen = clock.every(SEEN_MS, () => {
      this.#seen.tell(
        (organizationId) => this.#topics.get(organizationId),
        (topic) => this.#readers.holdLagging(topic),
        clock.now(),
      );
      this.#dropForgotten();
    });
  }

  /** Whether somebody watches anything. */
  get isWatched(): boolean {
    return this.#topics.size > 0;
  }

  /** Something about an agent is different now. `left`: where it was shown before, if elsewhere. */
  touched(agentId: string, shown: Shown, left?: Shown): void {
    this.#pendingOf(shown.organizationId)?.touch(agentId, left ? agentTopics(agentId, left) : []);
  }

  /** An agent is gone. */
  gone(agentId: string, shown: Shown): void {
    this.#pendingOf(shown.organizationId)?.remove(agentId, agentTopics(agentId, shown));
  }

  /** New entries of the log. */
  recorded(events: readonly ActivityDraft[]): void {
    for (const event of events) {
      const topics = this.#topics.get(event.organization_id);
      if (!topics) continue;
      for (const text of topicsOf("activity", { boardId: event.board_id, agentId: event.agent_id }))
        if (topics.has(text)) this.#enter(event.organization_id, text, toActivityEvent(event));
    }
  }

  /** A command to an agent was queued, or has come further. */
  commanded(command: AgentCommand): void {
    this.#enter(command.organization_id, `commands:agent:${command.agent_id}`, command);
  }

  /** The state of the link to a gateway is another. */
  linked(organizationId: string, link: GatewayLink): void {
    for (const text of ["gateways", `gateways:gateway:${link.id}`]) this.#enter(organizationId, text, link);
  }

  /** Something was said to an agent, or by it. */
  chatted(organizationId: string, entry: ChatEntry): void {
    // Each delta holds the whole reply so far.
    const key = entry.kind === "delta" ? entry.run_id : undefined;
    this.#enter(organizationId, `chat:agent:${entry.agent_id}`, entry, key);
  }

  /** These agents' last_seen has been committed. */
  seen(indexes: Iterable<number>): void {
    if (this.#topics.size > 0) this.#seen.note(indexes, this.#topics);
  }

  /**
   * Begins to watch a topic. The caller sends the result, then calls `after`, which sends the rest and makes the subscriber
   * live. That the caller may see the topic, and that its name is good, is decided before.
   */
  subscribe(
    subscriber: Subscriber,
    organizationId: string,
    text: string,
    since: { epoch: string; offset: number } | undefined,
  ): Promise<Subscription> {
    return this.#readers.begin(this.#open(organizationId, text), subscriber, since);
  }

  unsubscribe(subscriber: Subscriber, organizationId: string, text: string): void {
    this.#topics.get(organizationId)?.get(text)?.remove(subscriber);
  }

  /** The subscriber has read some of what was waiting for it. */
  drained(subscriber: Subscriber): void {
    this.#readers.drained(subscriber);
  }

  /** The subscriber is gone; its topics are unsubscribed one by one. */
  closed(subscriber: Subscriber): void {
    this.#readers.closed(subscriber);
  }

  /** The topic is over: what it is about is gone, or may not be seen any more. */
  end(organizationId: string, text: string, reason: string): void {
    const topic = this.#topics.get(organizationId)?.get(text);
    if (!topic) return;
    for (const subscriber of [...topic.subscribers.keys()]) {
      topic.remove(subscriber);
      subscriber.ended(text);
      subscriber.notify("end", { topic: text, reason });
    }
    this.#drop(topic);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#ticking);
    this.#cancelSeen();
    this.#topics.clear();
    this.#pending.clear();
  }

  #open(organizationId: string, text: string): Topic {
    const topics = this.#topics.get(organizationId) ?? new Map<string, Topic>();
    this.#topics.set(organizationId, topics);
    const name = parseTopic(text);
    if (!name) throw new Error("the name of a topic is checked before it is opened");
    const topic = topics.get(text) ?? new Topic(organizationId, text, name, this.#history, this.#publish);
    topics.set(text, topic);
    return topic;
  }

  #enter(organizationId: string, text: string, entry: object, key?: string): void {
    const topic = this.#topics.get(organizationId)?.get(text);
    const pending = topic && this.#pendingOf(organizationId);
    if (!pending || pending.enter(text, entry, key) <= MOST_ENTRIES) return;
    // Too much came at once to be told one by one: everyone starts again, and no position before is good any more.
    pending.entries.delete(text);
    topic.forget();
    for (const [subscriber, { kind }] of topic.subscribers)
      if (kind === "live") this.#readers.reset(topic, subscriber);
  }

  /** Undefined where nobody watches. */
  #pendingOf(organizationId: string): Pending | undefined {
    if (!this.#topics.has(organizationId)) return undefined;
    const pending = this.#pending.get(organizationId) ?? new Pending();
    this.#pending.set(organizationId, pending);
    this.#schedule();
    return pending;
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#ticking ??= setTimeout(() => {
      this.#tick()
        .catch((error) => this.#log.warn({ err: error }, "changes could not be read; they are pushed later"))
        .finally(() => {
          this.#ticking = undefined;
          if (this.#pending.size > 0) this.#schedule();
        });
    }, TICK_MS);
  }

  async #tick(): Promise<void> {
    for (const [organizationId, pending] of this.#pending) {
      const topics = this.#topics.get(organizationId);
      if (topics) await this.#push(organizationId, topics, pending);
      if (!topics || pending.isEmpty) this.#pending.delete(organizationId);
    }
  }

  async #push(organizationId: string, topics: Map<string, Topic>, pending: Pending): Promise<void> {
    const changes = new Map<string, { upserts: object[]; removes: string[] }>();
    const changeOf = (text: string) => {
      const change = changes.get(text) ?? { upserts: [], removes: [] };
      changes.set(text, change);
      return change;
    };
    const { taken, putBack } = pending.takeTouched(MOST_A_TICK);
    const agents = await this.#read(taken.map(([id]) => id)).catch((error) => {
      putBack();
      throw error;
    });
    for (const [id, left] of taken) {
      if (pending.hasGone(id, left)) continue;
      const agent = agents.get(id);
      const shown = agent && shownBy(agent);
      for (const text of shown ?? []) if (topics.has(text)) changeOf(text).upserts.push(agent ?? {});
      for (const text of left)
        if (topics.has(text) && !shown?.includes(text)) changeOf(text).removes.push(id);
    }
    const gone = [...pending.gone];
    pending.gone.clear();
    for (const [id, left] of gone)
      for (const text of left) if (topics.has(text)) changeOf(text).removes.push(id);
    for (const [text, entries] of pending.entries) changeOf(text).upserts.push(...entries);
    pending.entries.clear();
    for (const [text, { upserts, removes }] of changes) {
      const topic = topics.get(text);
      if (!topic) continue;
      const portions = portionsOf(upserts);
      for (const [position, portion] of portions.entries()) {
        this.#readers.holdLagging(topic);
        topic.change(portion, position === portions.length - 1 ? removes : []);
      }
    }
    // Not in the turn of the last change: who leaves the channel now would not get it any more.
    setImmediate(() => {
      for (const [id] of gone)
        for (const kind of TOPIC_KINDS) this.end(organizationId, `${kind}:agent:${id}`, "deleted");
    });
  }

  async #read(ids: string[]): Promise<Map<string, Agent>> {
    if (ids.length === 0) return new Map();
    const rows = await readAgents(this.#database, ids);
    return new Map(rows.map((row) => [row.id, toAgent(row, this.#agents.presenceOf(row.id))]));
  }

  #dropForgotten(): void {
    const now = this.#clock.now();
    for (const topics of this.#topics.values())
      for (const topic of topics.values())
        if (topic.subscribers.size > 0) topic.emptySince = 0;
        else if (topic.emptySince === 0) topic.emptySince = now;
        else if (now - topic.emptySince > LINGER_MS) this.#drop(topic);
  }

  #drop(topic: Topic): void {
    const topics = this.#topics.get(topic.organizationId);
    topics?.delete(topic.text);
    if (topics?.size === 0) this.#topics.delete(topic.organizationId);
  }
}

function shownBy({ id, organization_id, board_id, gateway_id }: Agent): string[] {
  return agentTopics(id, { organizationId: organization_id, boardId: board_id, gatewayId: gateway_id });
}
