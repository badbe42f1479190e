import type { AgentState } from "../../machines/agent.ts";
import { beatOnlySetsLastSeen } from "../../machines/agent.ts";
import {
  type AgentContext,
  STATUSES,
  type Status,
  WORK_STATES,
  type WorkState,
} from "../../machines/model.ts";
import { deadlineOf } from "../../machines/pace.ts";
import { heartbeatEveryMs } from "../protocol/agents.ts";
import type { Presence } from "../store/agent-rows.ts";
import type { RestingRow, UnrestRow } from "../store/agents.ts";
import { Columns, FLAG } from "./columns.ts";
import { IdMap } from "./id-map.ts";

/** Rules of time that hold for every agent, in milliseconds. */
export interface LifeSettings {
  offlineAfterMs: number;
  checkinDeadlineMs: number;
  /** Every heartbeat is to leave an activity event. */
  recordEveryBeat: boolean;
}

/** Where an agent belongs. */
export interface Belonging {
  organizationId: string;
  boardId: string | null;
  gatewayId: string;
}

/** What few agents have at a time: work at the gateway, and what came of it. */
type Unrest = Pick<
  AgentContext,
  "action" | "step" | "stepSince" | "attempt" | "wakes" | "force" | "cameFrom" | "failed" | "lastError"
>;

const REST: Unrest = {
  action: null,
  step: null,
  stepSince: null,
  attempt: 0,
  wakes: 0,
  force: false,
  cameFrom: null,
  failed: null,
  lastError: null,
};

/** What the row of an agent at rest says of work at the gateway. */
const AT_REST: UnrestRow = {
  last_error: null,
  work_state: "idle",
  provision_action: null,
  provision_step: null,
  provision_attempt: 0,
  provision_wakes: 0,
  provision_force: false,
  provision_came_from: null,
  provision_failed: null,
  step_since_ms: null,
  due_ms: null,
};

/**
 * Every agent in memory, each as an index into columns. An agent at rest is its columns, its id, its name and where it
 * belongs; the machine's state is put together when an event comes.
 */
export class Registry {
  readonly columns = new Columns();
  readonly #settings: LifeSettings;
  readonly #ids: (string | undefined)[] = [];
  readonly #names: string[] = [];
  readonly #belongings: (Belonging | undefined)[] = [];
  readonly #unrest = new Map<number, Unrest>();
  readonly #indexes = new IdMap();
  readonly #free: number[] = [];
  /** One object for all agents of one board. */
  readonly #shared = new Map<string, Belonging>();
  /** Silence counts from here: before, nobody listened. */
  #listeningSince = 0;

  constructor(settings: LifeSettings) {
    this.#settings = settings;
  }

  get size(): number {
    return this.#indexes.size;
  }

  /** One more than the greatest index in use. */
  get extent(): number {
    return this.#ids.length;
  }

  get listeningSince(): number {
    return this.#listeningSince;
  }

  /** From `at` on the server hears its agents; earlier silence is not theirs. */
  listenFrom(at: number): void {
    this.#listeningSince = at;
  }

  indexOf(id: string): number | undefined {
    return this.#indexes.get(id);
  }

  /** Undefined for an index that no agent holds. */
  idOf(index: number): string | undefined {
    return this.#ids[index];
  }

  nameOf(index: number): string {
    return this.#names[index] ?? "";
  }

  belongingOf(index: number): Belonging {
    const belonging = this.#belongings[index];
    if (!belonging) throw new Error(`no agent holds index ${index}`);
    return belonging;
  }

  add(row: RestingRow): number {
    const index = this.#free.pop() ?? this.#ids.length;
    const { columns } = this;
    columns.reach(index);
    columns.no[index] = row.no;
    this.#ids[index] = row.id;
    this.#indexes.set(row.id, index);
    this.replace(index, row);
    return index;
  }

  /** Postgres has this last_seen of the agent. */
  seen(index: number, at: number): void {
    const { columns } = this;
    columns.stored(index, at);
    if (at > (columns.lastSeen[index] ?? 0)) columns.lastSeen[index] = at;
  }

  /** Where the agent of each small key stands; -1 where there is none. */
  indexesByNo(): Int32Array {
    const { no } = this.columns;
    let greatest = 0;
    for (let index = 0; index < this.extent; index++) greatest = Math.max(greatest, no[index] ?? 0);
    const indexes = new Int32Array(greatest + 1).fill(-1);
    for (let index = 0; index < this.extent; index++)
      if (this.#ids[index] !== undefined) indexes[no[index] ?? 0] = index;
    return indexes;
  }

  /** What is known here of an agent's socket and heartbeats, and is for everyone to see. */
  presenceOf(id: string): Presence {
    const index = this.#indexes.get(id);
    if (index === undefined) return { connected: false, lastSeenMs: 0 };
    const { columns } = this;
    return { connected: columns.has(index, FLAG.connected), lastSeenMs: columns.storedSeen[index] ?? 0 };
  }

  /** Takes over all that the row of the agent at this index says. */
  replace(index: number, row: RestingRow): void {
    this.seen(index, row.last_seen_ms ?? 0);
    this.settle(index, {
      name: row.name,
      every: row.every,
      managed: row.managed,
      belonging: this.#share(row),
    });
    const work = row.unrest ?? AT_REST;
    this.apply(
      index,
      {
        status: row.status,
        work: work.work_state,
        context: {
          name: row.name,
          managed: row.managed,
          listeningSince: this.#listeningSince,
          offlineAfterMs: this.columns.offlineAfter[index] ?? 0,
          checkinDeadlineMs: this.#settings.checkinDeadlineMs,
          lastSeenAt: row.last_seen_ms,
          lastError: work.last_error,
          generation: row.generation,
          action: work.provision_action,
          step: work.provision_step,
          stepSince: work.step_since_ms,
          attempt: work.provision_attempt,
          wakes: work.provision_wakes,
          dueAt: work.due_ms,
          force: work.provision_force,
          cameFrom: work.provision_came_from,
          failed: work.provision_failed,
        },
      },
      row.version,
    );
  }

  /** Takes over settings that have been committed. */
  settle(
    index: number,
    settings: { name?: string; every?: string | null; managed?: boolean; belonging?: Belonging },
  ): void {
    if (settings.managed !== undefined) this.columns.set(index, FLAG.managed, settings.managed);
    if (settings.name !== undefined) this.#names[index] = settings.name;
    if (settings.belonging)
      this.#belongings[index] = this.#share({
        organization_id: settings.belonging.organizationId,
        board_id: settings.belonging.boardId,
        gateway_id: settings.belonging.gatewayId,
      });
    if (settings.every === undefined) return;
    this.columns.every[index] = heartbeatEveryMs({ every: settings.every });
    this.#setDeadline(index);
  }

  /** The longest interval between its heartbeats that the agent may be keeping, as it was told it, in milliseconds. */
  keep(index: number, everyMs: number): void {
    if (this.columns.kept[index] === everyMs) return;
    this.columns.kept[index] = everyMs;
    this.#setDeadline(index);
  }

  remove(index: number): void {
    const id = this.#ids[index];
    if (id === undefined) return;
    this.#indexes.delete(id);
    this.#ids[index] = undefined;
    this.#names[index] = "";
    this.#belongings[index] = undefined;
    this.#unrest.delete(index);
    this.columns.clear(index);
  }

  /** The index of a removed agent may be given to another: nothing refers to it any more. */
  release(index: number): void {
    this.#free.push(index);
  }

  statusOf(index: number): Status {
    return STATUSES[this.columns.status[index] ?? 0] ?? "provisioning";
  }

  workOf(index: number): WorkState {
    return WORK_STATES[this.columns.work[index] ?? 0] ?? "idle";
  }

  /** The agent as the machine sees it. */
  stateOf(index: number): AgentState {
    return { status: this.statusOf(index), work: this.workOf(index), context: this.#contextOf(index) };
  }

  /** Takes over a state that has been committed. */
  apply(index: number, state: AgentState, version: number): void {
    if (state.status === "gone") return;
    const { columns } = this;
    const { context } = state;
    columns.status[index] = STATUSES.indexOf(state.status);
    columns.work[index] = WORK_STATES.indexOf(state.work);
    columns.version[index] = version;
    columns.generation[index] = context.generation;
    columns.dueAt[index] = context.dueAt ?? 0;
    // Heartbeats that came by the short way in the meantime are newer than the state's.
    columns.lastSeen[index] = Math.max(columns.lastSeen[index] ?? 0, context.lastSeenAt ?? 0);
    const { action, step, stepSince, attempt, wakes, force, cameFrom, failed, lastError } = context;
    const rests = action === null && cameFrom === null && failed === null && lastError === null;
    if (rests) this.#unrest.delete(index);
    else
      this.#unrest.set(index, {
        action,
        step,
        stepSince,
        attempt,
        wakes,
        force,
        cameFrom,
        failed,
        lastError,
      });
    this.rest(index);
  }

  /** No event is under way for the agent: whether heartbeats may take the short way is for its state to say. */
  rest(index: number): void {
    this.columns.set(index, FLAG.restful, beatOnlySetsLastSeen(this.statusOf(index), this.workOf(index)));
  }

  /** An event is under way: heartbeats have to queue behind it. */
  unrest(index: number): void {
    this.columns.set(index, FLAG.restful, false);
  }

  #setDeadline(index: number): void {
    const { every, kept, offlineAfter } = this.columns;
    offlineAfter[index] = deadlineOf(this.#settings.offlineAfterMs, every[index] ?? 0, kept[index] ?? 0);
  }

  #contextOf(index: number): AgentContext {
    const { columns } = this;
    const unrest = this.#unrest.get(index) ?? REST;
    // Field by field: to spread them takes many times as long, and this is done for every event.
    return {
      action: unrest.action,
      step: unrest.step,
      stepSince: unrest.stepSince,
      attempt: unrest.attempt,
      wakes: unrest.wakes,
      force: unrest.force,
      cameFrom: unrest.cameFrom,
      failed: unrest.failed,
      lastError: unrest.lastError,
      name: this.nameOf(index),
      managed: columns.has(index, FLAG.managed),
      lastSeenAt: columns.lastSeen[index] || null,
      listeningSince: this.#listeningSince,
      offlineAfterMs: columns.offlineAfter[index] ?? 0,
      checkinDeadlineMs: this.#settings.checkinDeadlineMs,
      generation: columns.generation[index] ?? 0,
      dueAt: columns.dueAt[index] || null,
    };
  }

  #share(row: { organization_id: string; board_id: string | null; gateway_id: string }): Belonging {
    const key = `${row.organization_id}/${row.board_id}/${row.gateway_id}`;
    let belonging = this.#shared.get(key);
    if (!belonging) {
      belonging = { organizationId: row.organization_id, boardId: row.board_id, gatewayId: row.gateway_id };
      this.#shared.set(key, belonging);
    }
    return belonging;
  }
}
