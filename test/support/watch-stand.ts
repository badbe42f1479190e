import type { TestContext } from "node:test";
import type { Committal } from "../../src/actors/transitions.ts";
import { Hub } from "../../src/live/hub.ts";
import type { Subscriber } from "../../src/live/topic.ts";
import { createLog } from "../../src/log.ts";
import { type Codec, jsonCodec } from "../../src/protocol/codec.ts";
import type { Database } from "../../src/store/database.ts";
import { ActorStand } from "./actor-stand.ts";
import { until } from "./await.ts";
import type { Message } from "./wire.ts";

/** A subscriber without a socket: what it was sent, in order. */
export class Watcher implements Subscriber {
  readonly codec: Codec = jsonCodec;
  bufferedBytes = 0;
  isOpen = true;
  dismissed = false;
  /** Topics that have ended. */
  readonly over: string[] = [];
  readonly channels = new Set<string>();
  readonly received: Message[] = [];

  join(channel: string): void {
    this.channels.add(channel);
  }

  leave(channel: string): void {
    this.channels.delete(channel);
  }

  notify(method: string, params: object): void {
    this.received.push({ method, params });
  }

  ended(topic: string): void {
    this.over.push(topic);
  }

  dismissAsSlow(): void {
    this.dismissed = true;
  }

  /** What it was told of one topic by one method. */
  told(method: string, topic?: string): Message[] {
    return this.received
      .filter((message) => message.method === method && (!topic || message.params.topic === topic))
      .map(({ params }) => params);
  }

  next(what: string, test: (message: Message) => unknown): Promise<Message> {
    return until(() => this.received.find((message) => test(message)), { what });
  }
}

/** The stand's actors with a hub that tells of them. */
export class WatchStand {
  readonly actors: ActorStand;
  readonly hub: Hub;
  readonly watchers: Watcher[] = [];
  /** Queries of the hub fail while it is set. */
  broken = false;
  /** Called before a query of the hub. */
  beforeQuery: () => void = () => {};
  #told = 0;

  private constructor(actors: ActorStand, history: { changes: number; bytes: number }) {
    this.actors = actors;
    const database: Database = new Proxy(actors.database, {
      apply: (target, self, args) => {
        if (this.broken) throw new Error("the database does not answer");
        this.beforeQuery();
        return Reflect.apply(target, self, args);
      },
    });
    this.hub = new Hub({
      database,
      clock: actors.clock,
      log: createLog("silent"),
      history,
      publish: (channel, frame) => {
        const { method, params } = JSON.parse(String(frame));
        for (const watcher of this.watchers)
          if (watcher.channels.has(channel)) watcher.received.push({ method, params });
      },
      agents: {
        linkOf: () => undefined,
        presenceOf: (id) => actors.registry.presenceOf(id),
        seenOf: (index) => {
          const id = actors.registry.idOf(index);
          if (id === undefined) return undefined;
          const at = actors.registry.columns.storedSeen[index] ?? 0;
          return { id, at, shown: actors.registry.belongingOf(index) };
        },
      },
    });
  }

  static async open(t: TestContext, history = { changes: 1_000, bytes: 10_000_000 }): Promise<WatchStand> {
    const stand = new WatchStand(await ActorStand.open(t), history);
    t.after(() => stand.hub.stop());
    return stand;
  }

  /** Tells the hub of what was committed since the last time. */
  tell(): void {
    for (const committal of this.actors.committals.slice(this.#told)) this.tellOf(committal);
    this.#told = this.actors.committals.length;
  }

  tellOf({ agentId, before, after, events }: Committal): void {
    if (after === null) {
      if (before) this.hub.gone(agentId, before);
    } else this.hub.touched(agentId, after, before ?? undefined);
    this.hub.recorded(events);
  }

  /** Subscribes as a session does; the result. */
  async watch(
    organizationId: string,
    topic: string,
    { watcher = new Watcher(), since }: { watcher?: Watcher; since?: { epoch: string; offset: number } } = {},
  ): Promise<{ watcher: Watcher; result: Message }> {
    if (!this.watchers.includes(watcher)) this.watchers.push(watcher);
    const { result, after } = await this.hub.subscribe(watcher, organizationId, topic, since);
    await after();
    return { watcher, result };
  }
}

/** A heartbeat through the machine. */
export function beat(stand: WatchStand, id: string) {
  return stand.actors.send(id, { type: "beat", quiet: false, at: stand.actors.clock.now() });
}

/** Every second change of status is a beat, the others sign it off. */
export async function flip(stand: WatchStand, id: string, times: number) {
  for (let count = 0; count < times; count++) {
    const at = stand.actors.clock.now();
    await (count % 2 === 0 ? beat(stand, id) : stand.actors.send(id, { type: "signoff", at }));
    stand.tell();
  }
}
