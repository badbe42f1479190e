import { type AgentState, react } from "../../machines/agent.ts";
import type { AgentEvent, Effect } from "../../machines/model.ts";
import type { Seal } from "../auth/seal.ts";
import type { Log } from "../log.ts";
import { MusterError } from "../protocol/errors.ts";
import type { ActivityDraft } from "../store/activity.ts";
import type { RestingRow } from "../store/agents.ts";
import type { AssignmentRow } from "../store/assignments.ts";
import type { AgentFields, Committed } from "../store/changes.ts";
import type { Committer } from "../store/committer.ts";
import { refusalOf } from "../store/refusals.ts";
import { StaleChange } from "../store/write-changes.ts";
import { changeOf, draftsOf, everyOf, sameLife } from "./changes.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { type Message, type Outcome, type Rider, VersionPassed } from "./mailbox.ts";
import type { Belonging, LifeSettings, Registry } from "./registry.ts";

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

export interface TransitionParts {
  registry: Registry;
  committer: Pick<Committer, "commit">;
  /** Told whose last_seen stands in the journal. */
  checkpoint: Pick<Checkpoint, "note" | "reached">;
  settings: LifeSettings;
  seal: Seal;
  log: Log;
  /** Reads what the registry keeps of an agent; undefined when it is not there any more. */
  reload: (agentId: string) => Promise<RestingRow | undefined>;
  onCommitted: (committal: Committal) => void;
}

/** One event of one agent: its machine decides, Postgres commits, memory takes over, and then others are told. */
export class Transitions {
  readonly #registry: Registry;
  readonly #committer: Pick<Committer, "commit">;
  readonly #checkpoint: Pick<Checkpoint, "note" | "reached">;
  readonly #settings: LifeSettings;
  readonly #seal: Seal;
  readonly #log: Log;
  readonly #reload: (agentId: string) => Promise<RestingRow | undefined>;
  readonly #onCommitted: (committal: Committal) => void;

  constructor(parts: TransitionParts) {
    this.#registry = parts.registry;
    this.#committer = parts.committer;
    this.#checkpoint = parts.checkpoint;
    this.#settings = parts.settings;
    this.#seal = parts.seal;
    this.#log = parts.log;
    this.#reload = parts.reload;
    this.#onCommitted = parts.onCommitted;
  }

  /**
   * Carries out an event; if somebody else has written the agent's row in the meantime, once more from what is there now.
   * One at a time for each agent. Rejects with MusterError, or with VersionPassed when it was made for another version.
   */
  async carryOut(index: number, { event, rider }: Pick<Message, "event" | "rider">): Promise<Outcome> {
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
    const events = draftsOf(effects, {
      agentId: next.status === "gone" ? null : agentId,
      belonging: after ?? before,
      at: event.at,
      everyBeat: this.#settings.recordEveryBeat,
    });
    const fromVersion = registry.columns.version[index] ?? 0;
    const no = registry.columns.no[index] ?? 0;
    const { organizationId } = before;
    const decision = {
      agentId,
      organizationId,
      no,
      fromVersion,
      state,
      next,
      effects,
      events,
      rider,
      at: event.at,
    };
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

/** For whoever asks for something of an agent that has been deleted in the meantime. */
export function gone(): MusterError {
  return new MusterError("not_found", "The agent is not there any more.");
}
