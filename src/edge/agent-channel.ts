import { z } from "zod";
import type { EventOf } from "../../machines/model.ts";
import type { Channel, CommandAnswer } from "../actors/attachments.ts";
import { FLAG } from "../actors/columns.ts";
import { type Report, saidIn } from "../actors/heartbeats.ts";
import type { Waiting } from "../actors/room.ts";
import type { Services } from "../commands/services.ts";
import { commandError, MAX_RESULT_BYTES } from "../protocol/agent-commands.ts";
import type { Agent } from "../protocol/agents.ts";
import { MusterError } from "../protocol/errors.ts";
import { jsonValue } from "../protocol/fields.ts";
import { serverRequests } from "../protocol/session.ts";
import type { Acknowledgements, SlowBeat } from "./acknowledgements.ts";
import type { CallAnswer } from "./calls.ts";

/** Characters that are kept of why an agent did not take its configuration: everyone who watches it is sent them. */
const LONGEST_WHY = 500;
/** An agent's request counts as being seen, but is written at most so often, in milliseconds. */
const SIGHTING_MS = 30_000;

type SlowEvent = EventOf<"beat"> | EventOf<"signoff">;

/** How soon a heartbeat is tried again that Postgres has refused, in milliseconds. */
const RETRY_MS = 1_000;

/** How long an agent may take to apply a configuration, in milliseconds. */
const CONFIGURE_MS = 30_000;

/** Answers to commands that can be kept. */
const commandSuccess = z.object({ result: jsonValue(MAX_RESULT_BYTES) });
const commandFailure = z.object({ error: commandError });

/** What a channel needs of the session that it is on. */
export interface ChannelHost {
  readonly services: Services;
  readonly acknowledgements: Acknowledgements;
  notify(method: string, params: object): void;
  ask(owner: object, method: string, params: object, timeoutMs: number): Promise<CallAnswer>;
  /** The channel is no more. */
  dropped(channel: AgentChannel, reason: "superseded" | "deleted" | "revoked"): void;
}

/** One agent on one session. */
export class AgentChannel implements Channel, SlowBeat, Waiting {
  readonly ch: number;
  readonly index: number;
  readonly agentId: string;
  readonly tokenId: string;
  readonly #host: ChannelHost;
  /** Numbers of heartbeats that the agent's machine has not committed yet; -1: none. */
  waitingSince = -1;
  /** What is to follow the one under way; while it waits for its turn to begin, what it begins with. */
  #next: { n: number; event: SlowEvent } | undefined;
  #isWaiting = false;
  #isSightingUnderWay = false;
  #isGone = false;
  /** What is asked waits for it: a number means nothing to the other side before. */
  #isAnnounced = false;
  #onAnnounced: (() => void)[] | undefined;

  constructor(
    host: ChannelHost,
    { ch, index, agentId, tokenId }: Pick<AgentChannel, "ch" | "index" | "agentId" | "tokenId">,
  ) {
    this.#host = host;
    this.ch = ch;
    this.index = index;
    this.agentId = agentId;
    this.tokenId = tokenId;
  }

  /** A numbered heartbeat that says nothing more. The short way, if the agent's state allows it. */
  beat(n: number, at: number): void {
    const { registry, beats } = this.#host.services;
    if (!this.#isThere) return;
    if (registry.columns.has(this.index, FLAG.restful)) beats.beat(this.index, at);
    else this.#beatSlowly(n, { type: "beat", quiet: false, at });
  }

  /** A numbered heartbeat with what it says. */
  report(n: number, report: Report, at: number): void {
    const { beats } = this.#host.services;
    const said = saidIn(report);
    if (said) beats.report(this.index, said);
    if (report.status === "offline") this.#beatSlowly(n, { type: "signoff", at });
    else this.beat(n, at);
  }

  /** Another sign of life than a heartbeat. */
  sighted(at: number): void {
    const { registry, beats, actors } = this.#host.services;
    const { columns } = registry;
    if (!this.#isThere) return;
    if (at - (columns.lastSeen[this.index] ?? 0) < SIGHTING_MS) return;
    if (columns.has(this.index, FLAG.restful)) beats.touch(this.index, at);
    else if (!this.#isSightingUnderWay) {
      // One at a time: while Postgres is away an agent may ask for much, and each would wait.
      this.#isSightingUnderWay = true;
      actors
        .send(this.index, { type: "beat", quiet: true, at }, { lasting: true })
        .catch(() => {})
        .finally(() => {
          this.#isSightingUnderWay = false;
        });
    }
  }

  detached(reason: "superseded" | "deleted" | "revoked"): void {
    this.#host.dropped(this, reason);
  }

  pace(everyMs: number): void {
    const tell = () => {
      if (!this.#isGone) this.#host.notify("heartbeat_interval", { ch: this.ch, every_ms: everyMs });
    };
    // Not before the answer to the attach, which may say otherwise.
    if (this.#isAnnounced) tell();
    else this.#whenAnnounced(tell);
  }

  async configure(agent: Agent, hash: string, token: string | undefined): Promise<string | null> {
    const params = { ch: this.ch, agent, hash, ...(token && { token }) };
    const answer = await this.#ask("config", params, CONFIGURE_MS);
    if (answer === "lost") return "the agent's connection was lost before it answered";
    if (answer === "late") return `the agent did not answer within ${CONFIGURE_MS / 1_000} s`;
    this.sighted(this.#host.services.clock.now());
    if ("error" in answer) return storable(answer.error.message);
    const applied = serverRequests.config.result.safeParse(answer.result);
    if (applied.success && applied.data.applied === hash) return null;
    return "the agent's answer named another configuration than the one it was given";
  }

  /** The other side has been told of the channel. */
  announced(): void {
    this.#isAnnounced = true;
    for (const act of this.#onAnnounced ?? []) act();
    this.#onAnnounced = undefined;
  }

  /** The session does not carry the agent by this channel any more. */
  gone(): void {
    this.#isGone = true;
    this.announced();
  }

  /** Asks the agent. The time runs from now on, also while it is still being attached. */
  async #ask(method: string, params: object, timeoutMs: number): Promise<CallAnswer> {
    const { clock } = this.#host.services;
    const begun = clock.now();
    if (!this.#isAnnounced && !(await this.#announcedWithin(timeoutMs))) return "late";
    if (this.#isGone) return "lost";
    return this.#host.ask(this, method, params, Math.max(0, timeoutMs - (clock.now() - begun)));
  }

  #announcedWithin(timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#host.services.clock.after(timeoutMs, () => resolve(false));
      this.#whenAnnounced(() => {
        cancel();
        resolve(true);
      });
    });
  }

  #whenAnnounced(act: () => void): void {
    this.#onAnnounced ??= [];
    this.#onAnnounced.push(act);
  }

  /** Another agent gets the index of one that is gone, and a channel can outlive its agent. */
  get #isThere(): boolean {
    return this.#host.services.registry.idOf(this.index) === this.agentId;
  }

  async command(id: string, name: string, args: object, timeoutMs: number): Promise<CommandAnswer> {
    const answer = await this.#ask("command", { ch: this.ch, command_id: id, name, args }, timeoutMs);
    if (answer === "lost") return "lost";
    if (answer === "late")
      throw new MusterError(
        "timeout",
        `The agent did not answer within ${timeoutMs} ms; it may still do it.`,
        {
          command_id: id,
        },
      );
    this.sighted(this.#host.services.clock.now());
    const read = ("error" in answer ? commandFailure : commandSuccess).safeParse(answer);
    if (read.success) return read.data;
    const why = read.error.issues.map(({ message }) => message).join("; ");
    return { error: { code: -32602, message: `The agent's answer cannot be kept: ${why}` } };
  }

  /**
   * Through the machine. While one is under way, later ones become one that follows: the last word counts, the first
   * number waits.
   */
  #beatSlowly(n: number, event: SlowEvent): void {
    const { acknowledgements, services } = this.#host;
    if (this.waitingSince !== -1) {
      this.#next = { n: this.#next?.n ?? n, event };
      return;
    }
    this.waitingSince = n;
    acknowledgements.hold(this);
    this.#next = { n, event };
    this.#isWaiting = true;
    services.actors.whenFree(this.index, this);
  }

  /** The heartbeat that waits goes on its way. */
  proceed(): void {
    const next = this.#next;
    if (!this.#isWaiting || !next) return;
    this.#isWaiting = false;
    this.#next = undefined;
    this.#carry(next.event);
  }

  /** Gives the machine the event until it is committed, or there is no agent any more; then what has come meanwhile. */
  #carry(event: SlowEvent): void {
    const { acknowledgements, services } = this.#host;
    const { registry, actors, beats, clock, log } = services;
    actors
      .send(this.index, event, { lasting: true })
      .then(() => {
        const next = this.#next;
        this.#next = undefined;
        this.waitingSince = -1;
        if (next && this.#isThere) {
          if (next.event.type === "signoff") this.#beatSlowly(next.n, next.event);
          else this.beat(next.n, next.event.at);
          // What the short way has taken is acknowledged with a batch that begins after it.
          acknowledgements.takeBack(next.n);
          beats.expect(acknowledgements);
        }
        if (this.waitingSince === -1) acknowledgements.release(this);
      })
      .catch((error) => {
        if (registry.idOf(this.index) !== this.agentId) return acknowledgements.release(this);
        log.warn(
          { err: error, agent: this.agentId },
          "a heartbeat could not be committed; it is tried again",
        );
        clock.after(RETRY_MS, () => this.#carry(event));
      });
  }
}

/** The other side's words, fit for Postgres and for those who watch. */
function storable(text: string): string {
  return text.slice(0, LONGEST_WHY).replaceAll("\u0000", "").toWellFormed();
}
