import { randomUUID } from "node:crypto";
import type { TestContext } from "node:test";
import type { AgentEvent } from "../../machines/model.ts";
import { Actors } from "../../src/actors/actors.ts";
import { BeatLog } from "../../src/actors/beat-log.ts";
import { Beats } from "../../src/actors/beats.ts";
import { Checkpoint } from "../../src/actors/checkpoint.ts";
import { FLAG } from "../../src/actors/columns.ts";
import { loadRegistry } from "../../src/actors/load.ts";
import type { Outcome, Rider } from "../../src/actors/mailbox.ts";
import { Newcomers } from "../../src/actors/newcomers.ts";
import { Registry } from "../../src/actors/registry.ts";
import type { Committal } from "../../src/actors/transitions.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import type { AgentRow } from "../../src/store/agent-rows.ts";
import { readResting } from "../../src/store/agents.ts";
import { insertBoard } from "../../src/store/boards.ts";
import { type Committer, createCommitter } from "../../src/store/committer.ts";
import { closeDatabase, type Database, openDatabase } from "../../src/store/database.ts";
import { insertGateway } from "../../src/store/gateways.ts";
import { insertOrganization } from "../../src/store/organizations.ts";
import { createTestDatabase } from "./postgres.ts";
import { TEST_SEAL } from "./seals.ts";
import { TurnedClock } from "./turned-clock.ts";

export const OFFLINE_AFTER_MS = 600_000;
export const CHECKIN_MS = 30_000;
/** By which agents on the stand beat: their deadline is the rule's own. */
const EVERY = "1m";

/** A place on the stand: an organization's board on a gateway of one kind. */
export interface Place {
  organizationId: string;
  boardId: string;
  gatewayId: string;
  managed: boolean;
}

/** What an update to a place writes along with its transition, and tells the machine. */
export function moveTo(place: Place | undefined): Rider {
  if (!place) return { fields: { soul_template: "new" } };
  const { boardId, gatewayId, managed } = place;
  return { fields: { board_id: boardId, gateway_id: gatewayId }, context: { managed } };
}

/**
 * Actors, registry and committer on a real Postgres, with nobody at the gateways: what happens there is told by the
 * test, as events.
 */
export class ActorStand {
  readonly clock = new TurnedClock(Date.parse("2030-01-01T00:00:00.000Z"));
  readonly database: Database;
  readonly recordEveryBeat: boolean;
  /** What was told of each committed transition, in order. */
  committals: Committal[] = [];
  #parts: Parts;

  private constructor(database: Database, recordEveryBeat: boolean) {
    this.database = database;
    this.recordEveryBeat = recordEveryBeat;
    this.#parts = this.#build();
  }

  get registry(): Registry {
    return this.#parts.registry;
  }

  get actors(): Actors {
    return this.#parts.actors;
  }

  get beats(): Beats {
    return this.#parts.beats;
  }

  get committer(): Committer {
    return this.#parts.committer;
  }

  static async open(t: TestContext, { recordEveryBeat = false } = {}): Promise<ActorStand> {
    const home = await createTestDatabase();
    const stand = new ActorStand(openDatabase(home.url, { maxConnections: 6 }), recordEveryBeat);
    t.after(async () => {
      await stand.committer.stop();
      await closeDatabase(stand.database);
      await home.drop();
    });
    await stand.#load();
    return stand;
  }

  /** Everything in memory is forgotten, and built again from the rows. */
  async restart(): Promise<void> {
    await this.#parts.checkpoint.stop();
    await this.committer.stop();
    this.#parts = this.#build();
    await this.#load();
  }

  async place(managed: boolean, organizationId?: string): Promise<Place> {
    const at = new Date(this.clock.now());
    const place = {
      organizationId: organizationId ?? randomUUID(),
      boardId: randomUUID(),
      gatewayId: randomUUID(),
      managed,
    };
    if (organizationId === undefined)
      await insertOrganization(this.database, {
        organization: { id: place.organizationId, name: "Stand" },
        owner: { id: randomUUID(), name: "Owner" },
        at,
      });
    await insertGateway(this.database, {
      id: place.gatewayId,
      organization_id: place.organizationId,
      name: "Gateway",
      kind: managed ? "openclaw" : "direct",
      url: null,
      token_sealed: null,
      main_session_key: null,
      workspace_root: null,
      allow_insecure_tls: false,
      created_at: at,
      updated_at: at,
    });
    await insertBoard(this.database, {
      id: place.boardId,
      organization_id: place.organizationId,
      gateway_id: place.gatewayId,
      name: "Board",
      slug: place.boardId,
      type: "goal",
      objective: null,
      success_metrics: null,
      target_date: null,
      max_agents: 10,
      created_at: at,
      updated_at: at,
    });
    return place;
  }

  /** A new agent: its id. */
  async agent(place: Place, name = `Agent ${randomUUID()}`): Promise<string> {
    const id = randomUUID();
    const slug = `a-${id}`;
    await this.#parts.newcomers.create(
      {
        id,
        organizationId: place.organizationId,
        managed: place.managed,
        fields: {
          board_id: place.boardId,
          gateway_id: place.gatewayId,
          name,
          name_key: name.toLowerCase(),
          slug,
          is_board_lead: false,
          is_gateway_main: false,
          openclaw_session_id: `agent:${slug}:main`,
          heartbeat_config: { every: EVERY },
          identity_profile: null,
          identity_template: null,
          soul_template: null,
        },
      },
      this.clock.now(),
      () => undefined,
    );
    return id;
  }

  indexOf(id: string): number {
    const index = this.registry.indexOf(id);
    if (index === undefined) throw new Error("the agent is not in the registry");
    return index;
  }

  send(id: string, event: AgentEvent, rider: Rider = {}): Promise<Outcome> {
    return this.actors.send(this.indexOf(id), event, { lasting: true, rider });
  }

  /** A heartbeat by the short way where the agent's flag allows it, as sessions do. Says which way it took. */
  beat(id: string, quiet = false): { short: boolean; done: Promise<unknown> } {
    const index = this.indexOf(id);
    const at = this.clock.now();
    if (!this.registry.columns.has(index, FLAG.restful))
      return { short: false, done: this.send(id, { type: "beat", quiet, at }) };
    if (quiet) this.beats.touch(index, at);
    else this.beats.beat(index, at);
    return { short: true, done: Promise.resolve() };
  }

  /** Resolves when Postgres has every heartbeat that is there now. */
  flushed(): Promise<void> {
    return new Promise((resolve) =>
      this.beats.expect({ isExpecting: false, mark: () => {}, acknowledge: resolve }),
    );
  }

  /** The agent's row, with the last_seen that Postgres has wherever it stands. */
  async row(id: string): Promise<AgentRow | undefined> {
    const [row] = await this.database<AgentRow[]>`
      select a.*, s.last_seen_at, p.reported
      from agents a join presence p on p.agent_no = a.no left join last_seen s on s.agent_no = a.no
      where a.id = ${id}`;
    return row;
  }

  /** The log entries of an agent, in order. */
  async log(id: string): Promise<{ type: string; message: string }[]> {
    const rows = await this.database<{ type: string; message: string }[]>`
      select type, message from activity where agent_id = ${id} order by seq`;
    return rows.map(({ type, message }) => ({ type, message }));
  }

  async #load(): Promise<void> {
    await loadRegistry(this.database, this.registry, this.#parts.checkpoint);
    this.registry.listenFrom(this.clock.now());
  }

  #build(): Parts {
    const { database } = this;
    const log = createLog("silent");
    const settings = {
      offlineAfterMs: OFFLINE_AFTER_MS,
      checkinDeadlineMs: CHECKIN_MS,
      recordEveryBeat: this.recordEveryBeat,
    };
    const registry = new Registry(settings);
    const checkpoint = new Checkpoint({
      registry,
      database,
      clock: this.clock,
      alone: (work) => committer.alone(work),
      log,
    });
    const beats = new Beats({
      registry,
      checkpoint,
      wake: () => committer.beatsWait(),
      onCommitted: () => {},
      log: this.recordEveryBeat ? new BeatLog() : undefined,
    });
    const committer = createCommitter({
      database,
      intervalMs: 1,
      beats,
      metrics: createMetrics(),
      log,
    });
    const life = {
      registry,
      committer,
      settings,
      seal: TEST_SEAL,
      onCommitted: (committal: Committal) => this.committals.push(committal),
    };
    const newcomers = new Newcomers(life);
    const actors = new Actors({ ...life, checkpoint, log, reload: (id) => readResting(database, id) });
    return { registry, checkpoint, beats, committer, newcomers, actors };
  }
}

interface Parts {
  registry: Registry;
  checkpoint: Checkpoint;
  beats: Beats;
  committer: Committer;
  newcomers: Newcomers;
  actors: Actors;
}
