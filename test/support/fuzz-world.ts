import { randomUUID } from "node:crypto";
import { type FuzzAgent, SdkAgent, WireAgent } from "./fuzz-agent.ts";
import { FuzzCaller } from "./fuzz-caller.ts";
import { FuzzRandom } from "./fuzz-random.ts";
import { SdkWatcher } from "./fuzz-sdk.ts";
import { type FuzzWatcher, WireWatcher } from "./fuzz-watcher.ts";
import type { TestOrganization, TestServer } from "./server.ts";

export interface FuzzBoard {
  id: string;
  gatewayId: string;
}

/** A command that was queued for sure. */
export interface FuzzCommand {
  id: string;
  agentId: string;
  name: string;
  n: number;
}

const codecOf = (random: FuzzRandom) => random.pick(["json", "msgpack"] as const) ?? "json";
/** What weighs enough that a few changes fill what a socket may leave waiting. */
const HEAVY = "h".repeat(90_000);
/** The SDK's pauses are random parts of up to 30 s: a seed is not to wait for them, nor to be drawn from by them. */
const JITTER = () => Math.random() / 10;
const GATEWAYS = 2;
const BOARDS_EACH = 2;

/** One seed's organization: its boards, its agents and who watches them. */
export class FuzzWorld {
  readonly seed: number;
  readonly random: FuzzRandom;
  readonly server: TestServer;
  readonly organization: TestOrganization;
  readonly url: string;
  readonly caller: FuzzCaller;
  readonly boards: FuzzBoard[] = [];
  readonly agents = new Map<string, FuzzAgent>();
  /** Ids of agents whose deletion was asked for. */
  readonly deleted = new Set<string>();
  readonly watchers: FuzzWatcher[] = [];
  readonly commands: FuzzCommand[] = [];
  /** Of the agent whose every change weighs a lot, if there is one. */
  heavyId: string | undefined;
  witness: FuzzWatcher | undefined;
  /** Who does not read while the heavy agent changes. */
  slow: FuzzWatcher | undefined;
  /** What must never be. */
  readonly complaints: string[] = [];
  /** What was done, for the report of a failure. */
  readonly log: string[] = [];
  /** How often what is worth proving did happen. */
  readonly happened = new Map<string, number>();
  readonly #under = new Set<Promise<unknown>>();
  #names = 0;

  private constructor(seed: number, server: TestServer, organization: TestOrganization) {
    this.seed = seed;
    this.random = new FuzzRandom(seed);
    this.server = server;
    this.organization = organization;
    this.url = server.url;
    this.caller = new FuzzCaller({ url: this.url, token: organization.token }, this.complain);
  }

  readonly complain = (what: string): void => {
    this.complaints.push(what);
  };

  readonly count = (what: string): void => {
    this.happened.set(what, (this.happened.get(what) ?? 0) + 1);
  };

  static async open(seed: number, server: TestServer): Promise<FuzzWorld> {
    const world = new FuzzWorld(seed, server, await server.addOrganization(`Seed ${seed}`));
    for (let i = 0; i < GATEWAYS; i++) {
      const made = await world.caller.call("gateway.create", {
        name: `G${i}`,
        kind: "direct",
        idempotency_key: randomUUID(),
      });
      for (let j = 0; j < BOARDS_EACH; j++) {
        const given = { name: `B${i}-${j}`, gateway_id: made?.gateway.id, idempotency_key: randomUUID() };
        const { board } = (await world.caller.call("board.create", given)) ?? {};
        world.boards.push({ id: board.id, gatewayId: made?.gateway.id });
      }
    }
    const { random, url } = world;
    const count = 4 + random.below(5);
    for (let i = 0; i < count; i++) {
      const options = { url, token: world.organization.token, codec: codecOf(random) };
      const name = `${i < 2 ? "sdk" : "wire"}${i}/${options.codec}`;
      if (i < 2) world.watchers.push(await SdkWatcher.open(name, { ...options, random: JITTER }, world));
      else world.watchers.push(new WireWatcher(name, options, world));
    }
    await Promise.all(world.watchers.map((watcher) => watcher.connect()));
    if (seed % 5 === 0) await world.#addHeavy();
    for (let i = 0; i < 3; i++) await world.addAgent();
    return world;
  }

  /** Agents whose deletion nobody has asked for. */
  get living(): FuzzAgent[] {
    return [...this.agents.values()].filter(({ id }) => !this.deleted.has(id));
  }

  nextName(): string {
    this.#names += 1;
    return `Agent ${this.#names}`;
  }

  /** Creates an agent and starts its program. */
  async addAgent({ heavy = false } = {}): Promise<string | undefined> {
    const { random, url } = this;
    const bySdk = random.chance(0.5);
    const codec = codecOf(random);
    const created = await this.caller.call("agent.create", {
      name: this.nextName(),
      board_id: random.pick(this.boards)?.id,
      idempotency_key: randomUUID(),
      ...(heavy && { soul_template: HEAVY, identity_template: HEAVY }),
    });
    if (!created) return undefined;
    const { agent, token } = created;
    const options = { url, token, codec };
    this.agents.set(
      agent.id,
      bySdk
        ? await SdkAgent.open(agent.id, { ...options, random: JITTER })
        : new WireAgent(agent.id, options),
    );
    this.track(this.agents.get(agent.id)?.connect());
    return agent.id;
  }

  /** An agent whose every change weighs a lot, and someone who always reads what it becomes. */
  async #addHeavy(): Promise<void> {
    this.heavyId = await this.addAgent({ heavy: true });
    const options = { url: this.url, token: this.organization.token, codec: "json" as const };
    this.witness = new WireWatcher("witness", options, this);
    this.witness.subscribe(`agents:agent:${this.heavyId}`);
    this.slow = new WireWatcher("slow", options, this);
    await Promise.all([this.witness.connect(), this.slow.connect()]);
  }

  /** Lets something run on; it is awaited at the end. */
  track(work: Promise<unknown> | undefined): void {
    if (!work) return;
    const tracked = work
      .catch((error) => this.complain(String(error)))
      .finally(() => this.#under.delete(tracked));
    this.#under.add(tracked);
  }

  get underWay(): number {
    return this.#under.size;
  }

  async close(): Promise<void> {
    await Promise.all([
      this.witness?.close(),
      this.slow?.close(),
      ...this.watchers.map((watcher) => watcher.close()),
      ...[...this.agents.values()].map((agent) => agent.close()),
    ]);
    await this.caller.close();
  }
}
