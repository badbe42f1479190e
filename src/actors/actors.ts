import { type AgentState, newborn, react } from "../../machines/agent.ts";
import type { AgentEvent, Effect, Recorded } from "../../machines/model.ts";
import type { Seal } from "../auth/seal.ts";
import { type MintedToken, mintToken } from "../auth/tokens.ts";
import type { Log } from "../log.ts";
import { MusterError } from "../protocol/errors.ts";
import type { ActivityDraft } from "../store/activity.ts";
import type { RestingRow } from "../store/agents.ts";
import type { AssignmentRow } from "../store/assignments.ts";
import type { AgentFields, Committed, Insertion } from "../store/changes.ts";
import type { Committer } from "../store/committer.ts";
import { refusalOf } from "../store/refusals.ts";
import { StaleChange } from "../store/write-changes.ts";
import { changeOf, draftsOf, lifeColumns, sameLife } from "./changes.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { Mailbox, type Message, type Outcome, type Rider, VersionPassed } from "./mailbox.ts";
import type { Belonging, LifeSettings, Registry } from "./registry.ts";
import { Room, type Waiting } from "./room.ts";

/**
 * Agents whose events are under way at a time: one group with Postgres, the next one being decided on. When more come at
 * once, as after an outage, signs of life wait for their turn; commands do not.
 */
const MOST_UNDER_WAY = 1_000;

/** What is told of every committed transition. Called after memory has taken it over. */
export interface Committal {
  index: number;
  agentId: string;
  /** Where it belonged before, and where now, which is one object for an agent that has not moved; null: it is gone. */
  before: Belonging | null;
  after: Belonging | null;
  effects: readonly Effect[];
  events: readonly ActivityDraft[];
  generation: number;
  /** Its place at a gateway that it has left. */
  leaving: AssignmentRow | null;
}

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

/** Runs every agent's machine: one event at a time each, committed before anything else learns of it. */
export class Actors {
  readonly #registry: Registry;
  readonly #committer: Committer;
  readonly #checkpoint: Pick<Checkpoint, "note" | "reached">;
  readonly #settings: LifeSettings;
  readonly #seal: Seal;
  readonly #log: Log;
  readonly #reload: (agentId: string) => Promise<RestingRow | undefined>;
  readonly #onCommitted: (committal: Committal) => void;
  readonly #mailboxes = new Map<number, Mailbox>();
  /** Mailboxes whose first message waits for Postgres. */
  readonly #paused = new Set<number>();
  readonly #room = new Room(MOST_UNDER_WAY);
  /** Who waits to proceed, by the agent. */
  readonly #waiting = new Map<number, Waiting>();

  constructor(parts: {
    registry: Registry;
    committer: Committer;
    /** Told whose last_seen stands in the journal. */
    checkpoint: Pick<Checkpoint, "note" | "reached">;
    settings: LifeSettings;
    seal: Seal;
    log: Log;
    /** Reads what the registry keeps of an agent; undefined when it is not there any more. */
    reload: (agentId: string) => Promise<RestingRow | undefined>;
    onCommitted: (committal: Committal) => void;
  }) {
    this.#registry = parts.registry;
    this.#committer = parts.committer;
    this.#checkpoint = parts.checkpoint;
    this.#settings = parts.settings;
    this.#seal = parts.seal;
    this.#log = parts.log;
    this.#reload = parts.reload;
    this.#onCommitted = parts.onCommitted;
    this.#committer.onAvailable(() => {
      const paused = [...this.#paused];
      this.#paused.clear();
      for (const index of paused) {
        const mailbox = this.#mailboxes.get(index);
        if (mailbox) this.#runInTurn(index, mailbox);
      }
    });
  }

  /** Agents with events that are not through. */
  get busy(): number {
    return this.#mailboxes.size + this.#waiting.size;
  }

  /** Whether events wait for the agent. */
  isBusy(index: number): boolean {
    return this.#mailboxes.has(index) || this.#waiting.has(index);
  }

  /**
   * Gives the agent an event. Resolves when its transition is in Postgres; rejects with MusterError when it was refused
   * or, unless it is `lasting`, when Postgres is away.
   */
  send(
    index: number,
    event: AgentEvent,
    { lasting = false, rider = {} }: { lasting?: boolean; rider?: Rider } = {},
  ) {
    return new Promise<Outcome>((resolve, reject) => {
      if (!lasting && !this.#committer.available) return reject(away());
      this.#hurry(index);
      const busy = this.#mailboxes.get(index);
      // A mailbox gives the index of an agent that is gone free when it ends: there must be one only for who is there.
      if (!busy && this.#registry.idOf(index) === undefined) return reject(gone());
      const mailbox = busy ?? new Mailbox();
      try {
        mailbox.put({ event, rider, lasting, resolve, reject });
      } catch (error) {
        return reject(error);
      }
      if (!busy) {
        this.#mailboxes.set(index, mailbox);
        this.#registry.unrest(index);
        if (lasting) this.#runInTurn(index, mailbox);
        else this.#run(index);
      } else if (!lasting && mailbox.isWaiting) this.#run(index);
    });
  }

  /**
   * Lets somebody proceed who has a sign of life for the agent: at once, or when fewer are under way, but before anything
   * that comes for the agent later.
   */
  whenFree(index: number, who: Waiting): void {
    if (this.isBusy(index)) return who.proceed();
    this.#waiting.set(index, who);
    this.#room.whenFree(who);
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
      token: { minted, sealed: agent.managed ? this.#seal.seal(minted.token) : null },
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
    const events = this.#drafts([{ type: "record", params: recorded }, ...effects], agent.id, belonging, at);
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

  /** A fresh token for an agent, at once, without any other change. The older ones stay good until it is used. */
  async rotateToken(index: number, at: number): Promise<MintedToken> {
    const minted = mintToken("agent");
    const agentId = this.#idOf(index);
    await this.#committer.commit({
      kind: "remark",
      agentId,
      at: new Date(at),
      seen: null,
      events: this.#drafts(
        [
          {
            type: "record",
            params: {
              type: "agent.token.rotated",
              message: `${this.#registry.nameOf(index)} got a new token.`,
            },
          },
        ],
        agentId,
        this.#registry.belongingOf(index),
        at,
      ),
      token: { minted, sealed: null },
      also: null,
    });
    return minted;
  }

  /** Who waits with something earlier for the agent waits no longer. */
  #hurry(index: number): void {
    const earlier = this.#waiting.get(index);
    this.#waiting.delete(index);
    earlier?.proceed();
  }

  /** Runs when there is room, or when a command comes. */
  #runInTurn(index: number, mailbox: Mailbox): void {
    mailbox.isWaiting = true;
    this.#room.whenFree({
      proceed: () => {
        if (mailbox.isWaiting) this.#run(index);
      },
    });
  }

  #run(index: number): void {
    this.#room.enter();
    this.#take(index)
      .catch((error) => this.#log.error({ err: error }, "an agent's mailbox stopped"))
      .finally(() => this.#room.leave());
  }

  /** Takes an agent's messages one by one, until there are none, or Postgres is away. */
  async #take(index: number): Promise<void> {
    const mailbox = this.#mailboxes.get(index);
    if (!mailbox) return;
    mailbox.isWaiting = false;
    for (let message = mailbox.first; message; message = mailbox.first) {
      if (this.#registry.idOf(index) === undefined) {
        message.reject(gone());
        mailbox.shift();
        continue;
      }
      try {
        const outcome = await this.#handleFresh(index, message);
        mailbox.shift();
        message.resolve(outcome);
      } catch (error) {
        if (error instanceof MusterError && error.reason === "unavailable") {
          mailbox.refuse(error);
          if (!mailbox.first) continue;
          if (this.#committer.available) continue;
          this.#paused.add(index);
          return;
        }
        mailbox.shift();
        message.reject(error);
      }
    }
    this.#mailboxes.delete(index);
    if (this.#registry.idOf(index) === undefined) this.#registry.release(index);
    else this.#registry.rest(index);
  }

  /** Takes an event; if somebody else has written the agent's row in the meantime, once more from what is there now. */
  async #handleFresh(index: number, { event, rider }: Pick<Message, "event" | "rider">): Promise<Outcome> {
    try {
      return await this.#handle(index, event, rider);
    } catch (error) {
      if (!(error instanceof StaleChange)) throw error;
      await this.#refresh(index);
    }
    try {
      return await this.#handle(index, event, rider);
    } catch (error) {
      if (!(error instanceof StaleChange)) throw error;
      throw new MusterError(
        "conflict",
        "The agent is being changed by somebody else. Try again in a moment.",
        {},
        { cause: error },
      );
    }
  }

  /** The agent's row is not what memory says. Postgres is right: memory and whoever watches learn what it has. */
  async #refresh(index: number): Promise<void> {
    const registry = this.#registry;
    const agentId = this.#idOf(index);
    this.#log.warn({ agent: agentId }, "somebody else wrote an agent's row; it is read again");
    const before = registry.belongingOf(index);
    const row = await this.#reload(agentId).catch((error) => {
      throw refusalOf(error) ?? error;
    });
    if (row) {
      registry.replace(index, row);
      registry.unrest(index);
    } else registry.remove(index);
    this.#onCommitted({
      index,
      agentId,
      before,
      after: row ? registry.belongingOf(index) : null,
      effects: [],
      events: [],
      generation: row?.generation ?? 0,
      leaving: null,
    });
  }

  async #handle(index: number, event: AgentEvent, rider: Rider): Promise<Outcome> {
    const registry = this.#registry;
    const agentId = this.#idOf(index);
    const before = registry.belongingOf(index);
    if (rider.ifVersion !== undefined && rider.ifVersion !== registry.columns.version[index])
      throw new VersionPassed(agentId);
    const current = registry.stateOf(index);
    const state = rider.context ? { ...current, context: { ...current.context, ...rider.context } } : current;
    const { state: next, effects } = react(state, event);
    const after = next.status === "gone" ? null : moved(before, rider.fields);
    const { generation } = next.context;
    const isIgnored =
      effects.length === 0 && sameLife(state, next) && state.context.lastSeenAt === next.context.lastSeenAt;
    if (isIgnored) return { ignored: true, generation };
    const events = this.#drafts(effects, next.status === "gone" ? null : agentId, after ?? before, event.at);
    const fromVersion = registry.columns.version[index] ?? 0;
    const no = registry.columns.no[index] ?? 0;
    const decision = { agentId, no, fromVersion, state, next, effects, events, rider, at: event.at };
    const committed = await this.#committer.commit(changeOf(decision, this.#seal));
    this.#takeOver(index, next, committed, rider.fields, after);
    const { lastSeenAt } = next.context;
    if (after && lastSeenAt !== null && lastSeenAt !== current.context.lastSeenAt)
      this.#wasSeen(index, lastSeenAt, committed);
    this.#onCommitted({
      index,
      agentId,
      before,
      after,
      effects,
      events,
      generation,
      leaving: rider.leaving ?? null,
    });
    return { ignored: false, generation };
  }

  #wasSeen(index: number, at: number, { seq }: Committed): void {
    this.#registry.columns.stored(index, at);
    this.#checkpoint.note(index);
    if (seq !== null) this.#checkpoint.reached(seq);
  }

  #takeOver(
    index: number,
    next: AgentState,
    { version }: Committed,
    fields: Partial<AgentFields> | undefined,
    after: Belonging | null,
  ): void {
    const registry = this.#registry;
    if (after === null) return registry.remove(index);
    registry.apply(index, next, version ?? registry.columns.version[index] ?? 0);
    registry.unrest(index);
    if (!fields) return;
    registry.settle(index, {
      belonging: after,
      ...(fields.name === undefined ? {} : { name: fields.name }),
      managed: next.context.managed,
      ...(fields.heartbeat_config === undefined ? {} : { every: everyOf(fields) }),
    });
  }

  #drafts(
    effects: readonly Effect[],
    agentId: string | null,
    belonging: Belonging,
    at: number,
  ): ActivityDraft[] {
    return draftsOf(effects, { agentId, belonging, at, everyBeat: this.#settings.recordEveryBeat });
  }

  #idOf(index: number): string {
    const id = this.#registry.idOf(index);
    if (id === undefined) throw gone();
    return id;
  }
}

function moved(from: Belonging, fields: Partial<AgentFields> | undefined): Belonging {
  if (!fields) return from;
  return {
    organizationId: from.organizationId,
    boardId: fields.board_id === undefined ? from.boardId : fields.board_id,
    gatewayId: fields.gateway_id ?? from.gatewayId,
  };
}

function everyOf({ heartbeat_config }: Partial<AgentFields>): string | null {
  return typeof heartbeat_config?.every === "string" ? heartbeat_config.every : null;
}

function gone(): MusterError {
  return new MusterError("not_found", "The agent is not there any more.");
}

function away(): MusterError {
  return new MusterError("unavailable", "The database is away; nothing was done. Try again in a moment.");
}
