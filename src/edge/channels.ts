import { heartbeat } from "../actors/heartbeats.ts";
import type { AgentPrincipal } from "../auth/principals.ts";
import type { Cancel } from "../clock.ts";
import { readAndShow } from "../commands/answers.ts";
import { identify } from "../commands/identify.ts";
import type { Services } from "../commands/services.ts";
import { validate } from "../commands/validate.ts";
import type { Metrics } from "../metrics.ts";
import { MusterError } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import { sessionMethods } from "../protocol/session.ts";
import { Acknowledgements } from "./acknowledgements.ts";
import { AgentChannel } from "./agent-channel.ts";
import type { CallAnswer } from "./calls.ts";
import type { Expiries } from "./expiries.ts";

type Params = Record<string, unknown>;

/** The answer to an attach, and what is to happen once it has been sent. */
export interface Attached {
  result: object;
  /** The agent can be spoken to: the other side knows its number now. */
  after(): Promise<void>;
}

/** What the channels need of their session. */
export interface ChannelsHost {
  readonly services: Services;
  readonly metrics: Metrics;
  readonly expiries: Expiries;
  /** Tells the other side that all heartbeats up to n are in Postgres. */
  acknowledge(n: number): void;
  notify(method: string, params: object): void;
  ask(owner: object, method: string, params: object, timeoutMs: number): Promise<CallAnswer>;
  /** An agent's good token was shown. Returns the limits of the session if they have changed by that. */
  admitted(): object | undefined;
  /** Nobody will answer what the owner has asked. */
  release(owner: object): void;
  /** The token of the session's own agent is not good any more, or the agent is gone. */
  revoked(): void;
}

/** The agents on one session, each under its number, and their heartbeats. */
export class Channels {
  readonly acknowledgements = new Acknowledgements(this);
  readonly #host: ChannelsHost;
  /** By number: finding one is an index, not a look-up. */
  #channels: (AgentChannel | undefined)[] = [];
  /** Numbers that are free again, the one that was freed first in front: late messages for it have passed by then. */
  #free: number[] | undefined;
  #attached = 0;
  /** Of those whose token stops being good some time; few have one. */
  #expiring: Map<AgentChannel, Cancel> | undefined;
  #closed = false;
  /** The session's own agent. */
  #own: AgentChannel | undefined;

  constructor(host: ChannelsHost) {
    this.#host = host;
  }

  get services(): Services {
    return this.#host.services;
  }

  acknowledged(n: number): void {
    this.#host.acknowledge(n);
  }

  notify(method: string, params: object): void {
    this.#host.notify(method, params);
  }

  ask(owner: object, method: string, params: object, timeoutMs: number): Promise<CallAnswer> {
    return this.#host.ask(owner, method, params, timeoutMs);
  }

  dropped(channel: AgentChannel, reason: "superseded" | "deleted" | "revoked"): void {
    const isOwn = channel === this.#own;
    this.#remove(channel);
    this.notify("detached", { ch: channel.ch, reason });
    if (isOwn && reason !== "superseded") this.#host.revoked();
  }

  /** The agent whose own session this is becomes channel 0. */
  async attachSelf(principal: AgentPrincipal): Promise<Attached> {
    // Its token's end is the session's own.
    const answer = await this.#open(principal, null);
    this.#own = this.#channels[0];
    return answer;
  }

  async attach(params: Params): Promise<Attached> {
    const { token } = validate(sessionMethods["agent.attach"].params, params);
    const { principal, expiresAt } = await identify(this.services, token);
    if (principal.kind !== "agent")
      throw new MusterError("unauthenticated", "This is a user's token; an agent is attached by its own.");
    return this.#open(principal, expiresAt);
  }

  async detach(params: Params): Promise<object> {
    const { ch, offline } = validate(sessionMethods["agent.detach"].params, params);
    const channel = this.#channelOf(ch);
    const { actors, clock } = this.services;
    if (offline) await actors.send(channel.index, { type: "signoff", at: clock.now() });
    this.#letGo(channel);
    return {};
  }

  /** A heartbeat that says nothing but its number. */
  beat(n: number, ch: number): void {
    this.#channelOf(ch).beat(n, this.services.clock.now());
    this.#received(n, 1);
  }

  /** The notification. */
  heartbeat(params: Params): void {
    const { n: number, ch: channel, ...report } = validate(sessionMethods.heartbeat.params, params);
    if (number === undefined)
      throw new MusterError("invalid_params", "n: a heartbeat without an id needs a number n that rises.", {
        issues: [{ path: "n", message: "is required" }],
      });
    this.#channelOf(channel).report(number, report, this.services.clock.now());
    this.#received(number, 1);
  }

  /** Many agents at once. Channels that are not there are left out, and named in the error once the others are taken. */
  heartbeats(params: Params): void {
    const { n, chs } = validate(sessionMethods.heartbeats.params, params);
    const numbers = chs instanceof Uint8Array ? u32s(chs) : chs;
    const at = this.services.clock.now();
    const unknown: number[] = [];
    for (const ch of numbers) {
      const channel = this.#channels[ch];
      if (channel) channel.beat(n, at);
      else unknown.push(ch);
    }
    this.#received(n, numbers.length - unknown.length);
    if (unknown.length > 0)
      throw new MusterError(
        "not_found",
        `No agent is attached as channel ${unknown.slice(0, 10).join(", ")}.`,
        {
          channels: unknown.slice(0, 100),
        },
      );
  }

  /** The request: answered with the agent once it is committed. */
  async heartbeatNow(params: Params): Promise<object> {
    const { ch, n: _n, ...report } = validate(sessionMethods.heartbeat.params, params);
    const { index, agentId } = this.#channelOf(ch);
    await heartbeat(this.services, index, report, this.services.clock.now());
    this.#host.metrics.heartbeats.inc();
    return { agent: await readAndShow(this.services, agentId) };
  }

  /** The session spoke for its agents otherwise than by a heartbeat. */
  sighted(): void {
    this.#own?.sighted(this.services.clock.now());
  }

  close(): void {
    this.#closed = true;
    this.services.beats.forget(this.acknowledgements);
    for (const cancel of this.#expiring?.values() ?? []) cancel();
    for (const channel of this.#channels)
      if (channel) {
        channel.gone();
        this.services.attachments.detach(channel.index, channel);
      }
    this.#channels = [];
    this.#own = undefined;
  }

  async #open({ agentId, tokenId }: AgentPrincipal, expiresAt: number | null): Promise<Attached> {
    const { registry, attachments, pacer, lookups } = this.services;
    const index = registry.indexOf(agentId);
    if (index === undefined) throw new MusterError("not_found", "The agent is not there any more.");
    if (this.#closed) throw new MusterError("unavailable", "The session has ended.");
    if (this.#attached >= LIMITS.max_channels)
      throw new MusterError("rate_limited", `A session carries at most ${LIMITS.max_channels} agents.`, {
        retry_after_ms: 1_000,
      });
    const ch =
      this.#channels.length < LIMITS.max_channels ? this.#channels.length : (this.#free?.shift() ?? 0);
    // The registry's own text of the id: to compare the two is to compare their places in memory.
    const channel = new AgentChannel(this, { ch, index, agentId: registry.idOf(index) ?? agentId, tokenId });
    // An array that begins empty makes room for many at once, and most sessions carry one agent.
    if (this.#channels.length === 0) this.#channels = [channel];
    else this.#channels[ch] = channel;
    this.#attached += 1;
    attachments.attach(index, channel);
    if (expiresAt !== null) {
      this.#expiring ??= new Map();
      this.#expiring.set(
        channel,
        this.#host.expiries.add(expiresAt, () => attachments.revoke(index, [tokenId])),
      );
    }
    // Read after the channel is there: a token that ends from now on finds it, one that ended before is not found.
    const [agent, isGood] = await Promise.all([
      readAndShow(this.services, agentId),
      lookups.agentToken(tokenId),
    ]).catch((error) => {
      this.#letGo(channel);
      throw error;
    });
    if (!isGood) {
      this.#letGo(channel);
      throw new MusterError("unauthenticated", "The token is not good any more: it was revoked.");
    }
    const limits = this.#host.admitted();
    return {
      result: {
        ch,
        agent: { ...agent, connected: true },
        heartbeat: pacer.paceOf(index),
        ...(limits && { limits }),
      },
      after: async () => channel.announced(),
    };
  }

  #letGo(channel: AgentChannel): void {
    this.#remove(channel);
    this.services.attachments.detach(channel.index, channel);
  }

  #remove(channel: AgentChannel): void {
    if (this.#channels[channel.ch] !== channel) return;
    if (channel === this.#own) this.#own = undefined;
    this.#expiring?.get(channel)?.();
    this.#expiring?.delete(channel);
    channel.gone();
    this.#host.release(channel);
    this.#channels[channel.ch] = undefined;
    this.#free ??= [];
    this.#free.push(channel.ch);
    this.#attached -= 1;
  }

  #channelOf(ch: number): AgentChannel {
    const channel = this.#channels[ch];
    if (channel) return channel;
    throw new MusterError(
      "not_found",
      `No agent is attached as channel ${ch}. Attach it with agent.attach first.`,
    );
  }

  #received(n: number, count: number): void {
    this.#host.metrics.heartbeats.inc(count);
    this.acknowledgements.received(n);
    this.services.beats.expect(this.acknowledgements);
  }
}

/** The channels that bytes stand for, four each; the params' schema has looked at their number. */
function u32s(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 4 }, (_, position) => view.getUint32(position * 4, true));
}
