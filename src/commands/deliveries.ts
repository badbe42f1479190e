import type { Attachments, Channel, CommandAnswer } from "../actors/attachments.ts";
import type { Registry } from "../actors/registry.ts";
import type { Cancel, Clock } from "../clock.ts";
import type { Hub } from "../live/hub.ts";
import type { Log } from "../log.ts";
import { LIVE_TIMEOUT_MS } from "../protocol/agent-commands.ts";
import { MusterError } from "../protocol/errors.ts";
import {
  type AgentCommandRow,
  endAgentCommand,
  expireAgentCommands,
  putBackAgentCommand,
  takeForDelivery,
  toAgentCommand,
} from "../store/agent-commands.ts";
import type { Database } from "../store/database.ts";
import type { Lookups } from "../store/lookups.ts";

/**
 * How long a command may be with its agent, in milliseconds: as long as a live one may. Then it is put back behind the
 * others, so that some that are never answered do not keep the rest from ever being delivered.
 */
const ANSWER_WITHIN_MS = LIVE_TIMEOUT_MS.most;
/** Commands with one agent at a time; the next ones wait in Postgres until it has answered some. */
const MOST_WITH_AGENT = 32;
const EXPIRY_SWEEP_MS = 1_000;
/** Commands that one sweep ends at most. */
const MOST_EXPIRED = 1_000;
/** How soon a delivery is tried again that Postgres did not let happen, in milliseconds. */
const RETRY_MS = 1_000;
/** Commands of which it is remembered what was told last: more than change at the same time. */
const MOST_REMEMBERED = 10_000;

interface Pump {
  channel: Channel;
  /** Ids of the commands that the channel has and has not answered. */
  out: Set<string>;
  pumping: boolean;
  /** There may be more to take. */
  more: boolean;
  /** Commands that were handed over before are to be taken too. */
  again: boolean;
}

/** Hands queued commands to their agents: in order, while they are attached, again after a lost socket. */
export class Deliveries {
  readonly #database: Database;
  readonly #lookups: Pick<Lookups, "agentWithCommands">;
  readonly #registry: Pick<Registry, "indexOf">;
  readonly #attachments: Pick<Attachments, "channelOf">;
  readonly #hub: Pick<Hub, "commanded">;
  readonly #clock: Clock;
  readonly #log: Log;
  /** By the agent's id, for as long as a channel carries it and it has commands. */
  readonly #pumps = new Map<string, Pump>();
  /** How far the latest commands were told to have come, by id. */
  readonly #told = new Map<string, number>();
  readonly #cancelSweep: Cancel;
  #expiring = false;
  #stopped = false;

  constructor(parts: {
    database: Database;
    lookups: Pick<Lookups, "agentWithCommands">;
    registry: Pick<Registry, "indexOf">;
    attachments: Pick<Attachments, "channelOf">;
    hub: Pick<Hub, "commanded">;
    clock: Clock;
    log: Log;
  }) {
    this.#database = parts.database;
    this.#lookups = parts.lookups;
    this.#registry = parts.registry;
    this.#attachments = parts.attachments;
    this.#hub = parts.hub;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#cancelSweep = parts.clock.every(EXPIRY_SWEEP_MS, () => void this.#expire());
  }

  /** A command was queued for the agent. */
  queued(command: AgentCommandRow): void {
    this.#tell(command);
    const pump = this.#pumpOf(command.agent_id);
    if (pump) this.#pump(command.agent_id, pump, false);
  }

  /** A command has been ended from outside. */
  ended(command: AgentCommandRow): void {
    this.#tell(command);
    const pump = this.#pumps.get(command.agent_id);
    if (pump?.out.delete(command.id)) this.#pump(command.agent_id, pump, false);
  }

  /** Another channel carries the agent, which gets all that it has not answered; or none does any more. */
  channelChanged(agentId: string): void {
    const channel = this.#channelOf(agentId);
    if (this.#pumps.get(agentId)?.channel !== channel) this.#pumps.delete(agentId);
    if (channel) this.#lookFor(agentId, channel);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelSweep();
    this.#pumps.clear();
  }

  /** Most agents that come have no commands waiting: that is looked up for many of them at once. */
  #lookFor(agentId: string, channel: Channel): void {
    this.#lookups
      .agentWithCommands(agentId)
      .then((found) => {
        const pump = found && this.#pumpOf(agentId);
        if (pump) this.#pump(agentId, pump, true);
      })
      .catch((error) => {
        this.#log.warn(
          { err: error, agent: agentId },
          "commands could not be looked for; they are soon again",
        );
        this.#clock.after(RETRY_MS, () => {
          if (this.#channelOf(agentId) === channel) this.#lookFor(agentId, channel);
        });
      });
  }

  #channelOf(agentId: string): Channel | undefined {
    const index = this.#registry.indexOf(agentId);
    return index === undefined || this.#stopped ? undefined : this.#attachments.channelOf(index);
  }

  /** The pump of the channel that carries the agent now; one for an older channel is forgotten. */
  #pumpOf(agentId: string): Pump | undefined {
    const channel = this.#channelOf(agentId);
    if (!channel) return undefined;
    const known = this.#pumps.get(agentId);
    if (known?.channel === channel) return known;
    // What was handed over before comes first: a command queued just now must not overtake it.
    const pump = { channel, out: new Set<string>(), pumping: false, more: false, again: true };
    this.#pumps.set(agentId, pump);
    return pump;
  }

  #pump(agentId: string, pump: Pump, again: boolean): void {
    pump.more = true;
    pump.again ||= again;
    if (pump.pumping) return;
    pump.pumping = true;
    this.#deliver(agentId, pump).catch((error) => {
      pump.pumping = false;
      this.#log.warn(
        { err: error, agent: agentId },
        "commands could not be taken for delivery; they are tried again",
      );
      this.#pumpLater(agentId);
    });
  }

  /** Takes up again what nobody knows whether the agent has it. */
  #pumpLater(agentId: string): void {
    this.#clock.after(RETRY_MS, () => {
      const pump = this.#pumpOf(agentId);
      if (pump) this.#pump(agentId, pump, true);
    });
  }

  async #deliver(agentId: string, pump: Pump): Promise<void> {
    while (pump.more && this.#pumps.get(agentId) === pump && pump.out.size < MOST_WITH_AGENT) {
      const { again } = pump;
      pump.more = false;
      pump.again = false;
      const limit = MOST_WITH_AGENT - pump.out.size;
      const rows = await takeForDelivery(this.#database, {
        agentId,
        again,
        except: [...pump.out],
        limit,
        at: new Date(this.#clock.now()),
      });
      const current = this.#pumpOf(agentId);
      if (current !== pump) {
        // Taken for a channel that is gone: the one that carries the agent now must look at them again.
        if (current && rows.length > 0) this.#pump(agentId, current, true);
        break;
      }
      for (const row of rows) {
        this.#tell(row);
        pump.out.add(row.id);
        this.#handOver(pump, row).catch((error) => {
          this.#log.warn(
            { err: error, command: row.id },
            "a command could not be handed over; it is tried again",
          );
          pump.out.delete(row.id);
          this.#pumpLater(agentId);
        });
      }
      if (rows.length === limit) {
        pump.more = true;
        pump.again ||= again;
      }
    }
    // In the same turn as the last look at `more`: whoever sets it later begins anew.
    pump.pumping = false;
    const isIdle = pump.out.size === 0 && !pump.more;
    if (isIdle && this.#pumps.get(agentId) === pump) this.#pumps.delete(agentId);
  }

  async #handOver(pump: Pump, command: AgentCommandRow): Promise<void> {
    const answer = await this.#ask(pump.channel, command);
    if (answer === "lost") return;
    if (answer === "late") {
      const row = await putBackAgentCommand(this.#database, command.id);
      if (row) this.#tell(row);
      if (pump.out.delete(command.id)) this.#pump(command.agent_id, pump, false);
      return;
    }
    const end =
      "error" in answer
        ? ({ status: "failed", error: answer.error } as const)
        : ({ status: "completed", result: answer.result } as const);
    await this.#end(command, end);
    if (!pump.out.delete(command.id)) return;
    if (this.#pumps.get(command.agent_id) === pump) this.#pump(command.agent_id, pump, false);
  }

  async #ask(channel: Channel, command: AgentCommandRow): Promise<CommandAnswer | "late"> {
    try {
      return await channel.command(command.id, command.name, command.args ?? {}, ANSWER_WITHIN_MS);
    } catch (error) {
      if (error instanceof MusterError && error.reason === "timeout") return "late";
      throw error;
    }
  }

  /** Writes the end down, however long Postgres is away: the agent does not say it again while it stays attached. */
  async #end(command: AgentCommandRow, end: Parameters<typeof endAgentCommand>[2]): Promise<void> {
    while (!this.#stopped) {
      try {
        const row = await endAgentCommand(this.#database, command.id, end, new Date(this.#clock.now()));
        if (row) this.#tell(row);
        return;
      } catch (error) {
        this.#log.warn(
          { err: error, command: command.id },
          "a command's answer could not be written; it is tried again",
        );
        await new Promise<void>((resolve) => this.#clock.after(RETRY_MS, resolve));
      }
    }
  }

  async #expire(): Promise<void> {
    if (this.#expiring) return;
    this.#expiring = true;
    try {
      const rows = await expireAgentCommands(this.#database, new Date(this.#clock.now()), MOST_EXPIRED);
      for (const row of rows) this.ended(row);
    } catch (error) {
      this.#log.debug({ err: error }, "commands could not be expired; they are with the next sweep");
    } finally {
      this.#expiring = false;
    }
  }

  /** Two connections to Postgres answer in any order: what a command was before is not told after what it is. */
  #tell(command: AgentCommandRow): void {
    const place = placeOf(command);
    if (place < (this.#told.get(command.id) ?? 0)) return;
    this.#told.delete(command.id);
    this.#told.set(command.id, place);
    const [oldest] = this.#told.keys();
    if (this.#told.size > MOST_REMEMBERED && oldest !== undefined) this.#told.delete(oldest);
    this.#hub.commanded(toAgentCommand(command));
  }
}

/** How far a command has come: queued, then handed over again and again, then at its end. */
function placeOf({ status, attempts }: AgentCommandRow): number {
  return status === "queued" || status === "delivered" ? attempts : Number.POSITIVE_INFINITY;
}
