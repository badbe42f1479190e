import type { AgentContext, AgentEvent } from "../../machines/model.ts";
import { MusterError } from "../protocol/errors.ts";
import type { AssignmentRow } from "../store/assignments.ts";
import type { AgentFields } from "../store/changes.ts";
import type { Queries } from "../store/database.ts";

/** Messages that may wait for one agent. Beyond, commands are refused; heartbeats merge and never add up. */
export const MAILBOX_BOUND = 64;

/** What a message wants written in the same transaction as the transition it causes. */
export interface Rider {
  fields?: Partial<AgentFields>;
  /** What the machine is to know of these settings already. */
  context?: Partial<Pick<AgentContext, "name" | "managed">>;
  /** Only if the agent is at this version still: the settings follow from what it was. */
  ifVersion?: number;
  /** Where the agent was at the gateway that it leaves by this. */
  leaving?: AssignmentRow;
  also?: (transaction: Queries) => Promise<void>;
}

/** The agent is not at the version that a message was made for. */
export class VersionPassed extends Error {
  override name = "VersionPassed";
}

/** What became of a message. */
export interface Outcome {
  /** The machine had no use for the event in this state: nothing was written. */
  ignored: boolean;
  generation: number;
}

export interface Message {
  event: AgentEvent;
  rider: Rider;
  /** It must not get lost while Postgres is away: it waits instead of failing. */
  lasting: boolean;
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

/** The messages that wait for one agent, in order of arrival. */
export class Mailbox {
  readonly #messages: Message[] = [];
  /** It is not being read, but will be. */
  isWaiting = false;

  get first(): Message | undefined {
    return this.#messages[0];
  }

  /** Adds a message. A heartbeat behind a heartbeat becomes one with it. Throws rate_limited at the bound. */
  put(message: Message): void {
    const last = this.#messages.at(-1);
    if (last?.event.type === "beat" && message.event.type === "beat" && this.#messages.length > 1) {
      const quiet = last.event.quiet && message.event.quiet;
      this.#messages[this.#messages.length - 1] = merged(last, {
        ...message,
        event: { ...message.event, quiet },
      });
    } else if (this.#messages.length >= MAILBOX_BOUND && !message.lasting)
      throw new MusterError("rate_limited", "Too many requests wait for this agent. Try again in a moment.", {
        retry_after_ms: 1_000,
      });
    else this.#messages.push(message);
  }

  /** Takes the first message out. */
  shift(): void {
    this.#messages.shift();
  }

  /** Takes out and refuses what need not last. */
  refuse(error: unknown): void {
    const lasting = this.#messages.filter((message) => message.lasting);
    for (const message of this.#messages) if (!message.lasting) message.reject(error);
    this.#messages.splice(0, this.#messages.length, ...lasting);
  }
}

/** One message for two heartbeats: both their senders hear the outcome. */
function merged(earlier: Message, later: Message): Message {
  return {
    ...later,
    resolve(outcome) {
      earlier.resolve(outcome);
      later.resolve(outcome);
    },
    reject(error) {
      earlier.reject(error);
      later.reject(error);
    },
  };
}
