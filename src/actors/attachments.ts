import type { Clock } from "../clock.ts";
import type { CommandError } from "../protocol/agent-commands.ts";
import type { Agent } from "../protocol/agents.ts";
import type { Json } from "../protocol/fields.ts";
import { FLAG } from "./columns.ts";
import type { Pacer } from "./pacer.ts";
import type { Registry } from "./registry.ts";

/** An agent's end of a session. */
export interface Channel {
  /** The public part of the token that the agent was attached with. */
  readonly tokenId: string;
  /** Tells the agent how often to beat from now on. */
  pace(everyMs: number): void;
  /** It carries the agent no more; `reason` goes to the other side. */
  detached(reason: "superseded" | "deleted" | "revoked"): void;
  /** Hands the agent its configuration. Resolves with null when it was applied, or with why not. */
  configure(agent: Agent, hash: string, token: string | undefined): Promise<string | null>;
  /**
   * Hands the agent a command. Resolves with its answer; `lost` when the channel ended before it gave one. Rejects with
   * `timeout` after so many milliseconds, never when `timeoutMs` is null.
   */
  command(id: string, name: string, args: object, timeoutMs: number): Promise<CommandAnswer>;
}

/** An agent's answer to a command. */
export type CommandAnswer = { result: Json } | { error: CommandError } | "lost";

/** Which channel carries which agent: one live channel an agent, the newest. */
export class Attachments {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #pacer: Pacer;
  readonly #onChange: (index: number) => void;
  readonly #channels = new Map<number, Channel>();

  /** @param onChange told when another channel carries an agent, or none any more */
  constructor(registry: Registry, clock: Clock, pacer: Pacer, onChange: (index: number) => void) {
    this.#registry = registry;
    this.#clock = clock;
    this.#pacer = pacer;
    this.#onChange = onChange;
  }

  get count(): number {
    return this.#channels.size;
  }

  channelOf(index: number): Channel | undefined {
    return this.#channels.get(index);
  }

  attach(index: number, channel: Channel): void {
    const older = this.#channels.get(index);
    this.#channels.set(index, channel);
    older?.detached("superseded");
    this.#registry.columns.set(index, FLAG.connected, true);
    this.#registry.columns.lostAt[index] = 0;
    this.#pacer.attach(index);
    this.#onChange(index);
  }

  /** The channel is gone. Nothing happens when a newer one carries the agent. */
  detach(index: number, channel: Channel): void {
    if (this.#channels.get(index) !== channel) return;
    this.#channels.delete(index);
    this.#pacer.detach(index);
    this.#registry.columns.set(index, FLAG.connected, false);
    this.#registry.columns.lostAt[index] = this.#clock.now();
    this.#onChange(index);
  }

  /** The agent is gone for good. */
  drop(index: number): void {
    const attached = this.#channels.get(index);
    this.#channels.delete(index);
    this.#pacer.detach(index);
    attached?.detached("deleted");
  }

  /** These tokens of the agent are not good any more. */
  revoke(index: number, tokenIds: readonly string[]): void {
    const attached = this.#channels.get(index);
    if (!attached || !tokenIds.includes(attached.tokenId)) return;
    this.detach(index, attached);
    attached.detached("revoked");
  }
}
