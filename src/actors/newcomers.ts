import { type AgentState, newborn, react } from "../../machines/agent.ts";
import type { Effect, Recorded } from "../../machines/model.ts";
import type { Seal } from "../auth/seal.ts";
import { agentTokenPlace } from "../auth/sealed-places.ts";
import { mintToken } from "../auth/tokens.ts";
import type { AgentFields, Insertion } from "../store/changes.ts";
import type { Committer } from "../store/committer.ts";
import { draftsOf, everyOf, lifeColumns } from "./changes.ts";
import type { Rider } from "./mailbox.ts";
import type { LifeSettings, Registry } from "./registry.ts";
import type { Committal } from "./transitions.ts";

/** A new agent's settings, and where it belongs. */
export interface NewAgent {
  id: string;
  organizationId: string;
  managed: boolean;
  fields: AgentFields;
}

/** How an agent comes to be. */
interface Birth {
  state: AgentState;
  effects: readonly Effect[];
  recorded: Recorded;
  token: Insertion["token"];
  also: Insertion["also"];
}

/** Makes new agents: in Postgres first, then in memory. */
export class Newcomers {
  readonly #registry: Registry;
  readonly #committer: Pick<Committer, "commit">;
  readonly #settings: LifeSettings;
  readonly #seal: Seal;
  readonly #onCommitted: (committal: Committal) => void;

  constructor(parts: {
    registry: Registry;
    committer: Pick<Committer, "commit">;
    settings: LifeSettings;
    seal: Seal;
    onCommitted: (committal: Committal) => void;
  }) {
    this.#registry = parts.registry;
    this.#committer = parts.committer;
    this.#settings = parts.settings;
    this.#seal = parts.seal;
    this.#onCommitted = parts.onCommitted;
  }

  /**
   * Creates an agent. Its token is handed out here once; for a managed agent it is also kept, sealed, until the gateway
   * has it. Rejects with MusterError, as for a name that is taken.
   */
  async create(
    agent: NewAgent,
    at: number,
    alsoFor: (token: string) => Rider["also"],
  ): Promise<{ index: number; token: string }> {
    const minted = mintToken("agent");
    const { state, effects } = react(this.#newborn(agent), { type: "provision", at });
    const index = await this.#insert(agent, at, {
      state,
      effects,
      recorded: { type: "agent.created", message: `${agent.fields.name} was created.` },
      token: { minted, sealed: agent.managed ? this.#seal.seal(minted.token, agentTokenPlace(agent)) : null },
      also: alsoFor(minted.token) ?? null,
    });
    return { index, token: minted.token };
  }

  /**
   * Takes over an agent that its gateway has already: nothing is done there, and it gets no token until an update brings
   * one. Rejects with MusterError, as for a name that is taken.
   */
  adopt(agent: NewAgent, at: number): Promise<number> {
    return this.#insert(agent, at, {
      state: this.#newborn(agent),
      effects: [],
      recorded: { type: "agent.imported", message: `${agent.fields.name} was imported from its gateway.` },
      token: null,
      also: null,
    });
  }

  #newborn({ fields, managed }: NewAgent): AgentState {
    return newborn({
      name: fields.name,
      managed,
      listeningSince: this.#registry.listeningSince,
      offlineAfterMs: this.#settings.offlineAfterMs,
      checkinDeadlineMs: this.#settings.checkinDeadlineMs,
    });
  }

  async #insert(
    agent: NewAgent,
    at: number,
    { state, effects, recorded, token, also }: Birth,
  ): Promise<number> {
    const { fields } = agent;
    const belonging = {
      organizationId: agent.organizationId,
      boardId: fields.board_id,
      gatewayId: fields.gateway_id,
    };
    const events = draftsOf([{ type: "record", params: recorded }, ...effects], {
      agentId: agent.id,
      belonging,
      at,
      everyBeat: this.#settings.recordEveryBeat,
    });
    const life = lifeColumns(state);
    const { no } = await this.#committer.commit({
      kind: "insert",
      agentId: agent.id,
      organizationId: agent.organizationId,
      at: new Date(at),
      events,
      life,
      fields,
      token,
      also,
    });
    const index = this.#registry.add({
      id: agent.id,
      no: no ?? 0,
      organization_id: agent.organizationId,
      board_id: fields.board_id,
      gateway_id: fields.gateway_id,
      name: fields.name,
      managed: agent.managed,
      every: everyOf(fields),
      last_seen_ms: null,
      version: 1,
      status: life.status,
      generation: life.generation,
      unrest: { ...life, step_since_ms: state.context.stepSince, due_ms: state.context.dueAt },
    });
    this.#onCommitted({
      index,
      agentId: agent.id,
      before: null,
      after: belonging,
      effects,
      events,
      generation: state.context.generation,
      leaving: null,
    });
    return index;
  }
}
