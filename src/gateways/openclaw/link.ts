import type { z } from "zod";
import { type Failure, type LinkEvent, newLink, reactLink } from "../../../machines/gateway-link.ts";
import type { Cancel, Clock } from "../../clock.ts";
import type { GatewayHosts } from "../../gateway-hosts.ts";
import { Limiter } from "../../limiter.ts";
import type { Log } from "../../log.ts";
import type { GatewayLink } from "../../protocol/gateway-links.ts";
import { type GatewayBrief, GatewayError } from "../driver.ts";
import { Allowance } from "./allowance.ts";
import type { Device } from "./device.ts";
import { announcesRestart, LinkLost, silentGateway, unreadableKey, withHint } from "./failures.ts";
import { type GatewayFrame, payloadOf } from "./frames.ts";
import type { HeldBytes } from "./held-bytes.ts";
import { calledOff, PendingRequests } from "./pending-requests.ts";
import { dialGateway, type GatewaySocket, type Hello } from "./socket.ts";
import { WriteTurns } from "./write-turns.ts";

/** Requests under way at one gateway at a time; the others wait in order. */
const AT_ONCE = 8;
/** Requests that may wait for one gateway. */
const MOST_WAITING = 10_000;
const REQUEST_MS = 30_000;
/**
 * How long after a link was lost, or was to be made, work waits for it, before it is told to come back later: a restart
 * takes no longer. In milliseconds.
 */
const READY_MS = 30_000;
/** Gateways tick every 30 s: one that is silent for longer than this is gone, in milliseconds. */
export const SILENCE_MS = 75_000;

export interface LinkEvents {
  /** The link's state has changed. */
  status(link: GatewayLink): void;
  /** The gateway tells something by itself. */
  event(gatewayId: string, event: string, payload: unknown): void;
}

export interface LinkParts {
  clock: Clock;
  log: Log;
  random: () => number;
  events: LinkEvents;
  device: (gateway: GatewayBrief) => Promise<Device>;
  hosts: GatewayHosts;
  held: HeldBytes;
  /** Waits for its turn, so that not all gateways are dialled in one instant. */
  inTurn: (organizationId: string, dial: () => Promise<void>) => Promise<void>;
}

/** The one kept connection to a gateway, which all its agents share. */
export class Link {
  readonly gatewayId: string;
  readonly #parts: LinkParts;
  #gateway: GatewayBrief & { url: string };
  #life = newLink();
  #since: number;
  /** Since when it is not ready; without meaning while it is. */
  #awaySince: number;
  #socket: GatewaySocket | null = null;
  /** Tells an older dial from the newest. */
  #dials = 0;
  #hello: Hello | null = null;
  #heardAt = 0;
  #cancelDue: Cancel = () => {};
  #waiting = 0;
  readonly #pending: PendingRequests;
  readonly #allowance: Allowance;
  readonly #places = new Limiter();
  readonly #turns = new WriteTurns();
  readonly #watchers = new Set<() => void>();

  constructor(gateway: GatewayBrief & { url: string }, parts: LinkParts) {
    this.gatewayId = gateway.id;
    this.#gateway = gateway;
    this.#parts = parts;
    this.#pending = new PendingRequests(parts.clock);
    this.#allowance = new Allowance(parts.clock);
    this.#since = parts.clock.now();
    this.#awaySince = this.#since;
    this.#dial();
  }

  /** What the gateway said of itself when it was ready last. */
  get hello(): Hello | null {
    return this.#hello;
  }

  get organizationId(): string {
    return this.#gateway.organizationId;
  }

  get status(): GatewayLink {
    const { state, context } = this.#life;
    const time = (at: number | null) => (at === null ? null : new Date(at).toISOString());
    return {
      id: this.gatewayId,
      state: state === "closed" ? "connecting" : state,
      since: new Date(this.#since).toISOString(),
      protocol: this.#hello?.protocol ?? null,
      version: this.#hello?.version ?? null,
      latency_ms: this.#pending.latencyMs,
      last_error: context.lastError,
      hint: context.hint,
      pairing_request_id: context.pairingRequestId,
      next_try_at: time(context.dueAt),
    };
  }

  /** Takes over settings; connects anew where they are others. */
  configure(gateway: GatewayBrief & { url: string }): void {
    const { url, token, allowInsecureTls } = this.#gateway;
    const isSame =
      url === gateway.url && token === gateway.token && allowInsecureTls === gateway.allowInsecureTls;
    this.#gateway = gateway;
    if (!isSame) this.reconnect();
  }

  /** Goes on at once, unless it is ready. */
  retry(): void {
    if (this.#life.state !== "ready" && this.#life.state !== "connecting") this.reconnect();
  }

  reconnect(): void {
    this.#take({ type: "reconnect", at: this.#now() });
  }

  close(): void {
    this.#take({ type: "close", at: this.#now() });
  }

  /** Ends a connection that nothing has been heard of for too long. */
  checkSilence(now: number): void {
    if (this.#life.state !== "ready" || now - this.#heardAt <= SILENCE_MS) return;
    this.#fail(silentGateway(SILENCE_MS));
  }

  /**
   * Resolves when requests can be made. Throws GatewayError: for good when only a person can help, otherwise when the
   * gateway has been away for too long or the signal says so.
   */
  ready({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: GatewayError) => {
        this.#watchers.delete(look);
        cancel();
        signal?.removeEventListener("abort", look);
        if (error) reject(error);
        else resolve();
      };
      const look = () => {
        const { state } = this.#life;
        if (signal?.aborted) done(calledOff());
        else if (state === "ready") done();
        else if (state === "refused" || state === "pairing_required") done(this.#notReady(false));
        else if (state === "closed")
          done(new LinkLost("The link to the gateway was closed", { wasSent: false }));
      };
      const left = Math.max(0, this.#awaySince + READY_MS - this.#now());
      const cancel = this.#parts.clock.after(left, () => done(this.#notReady(true)));
      this.#watchers.add(look);
      signal?.addEventListener("abort", look);
      look();
    });
  }

  /**
   * Does what writes to the gateway's configuration when everything has that came before. Throws GatewayError when the
   * signal calls it off.
   */
  inTurn<T>(write: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turns.run(write, signal);
  }

  /**
   * Asks the gateway. Throws GatewayRefusal when it says no, LinkLost when the connection went before the answer, another
   * GatewayError when it does not answer, or not in a known form. A write that was sent is waited for, whatever the signal
   * says: the next one must not meet it.
   */
  async request<T>(
    method: string,
    params: object,
    schema: z.ZodType<T>,
    {
      signal,
      timeoutMs = REQUEST_MS,
      isWrite = false,
    }: { signal?: AbortSignal; timeoutMs?: number; isWrite?: boolean } = {},
  ): Promise<T> {
    if (this.#waiting >= MOST_WAITING)
      throw new GatewayError("Too many requests wait for this gateway", { transient: true });
    this.#waiting += 1;
    try {
      await this.ready(signal ? { signal } : {});
      const payload = await this.#places.run("", AT_ONCE, () => {
        if (signal?.aborted) throw calledOff();
        return this.#ask(method, params, timeoutMs, isWrite ? undefined : signal);
      });
      const parsed = schema.safeParse(payload);
      if (parsed.success) return parsed.data;
      throw new GatewayError(`The gateway's answer to ${method} has a form that is not known`, {
        transient: false,
        cause: parsed.error,
      });
    } finally {
      this.#waiting -= 1;
    }
  }

  async #ask(method: string, params: object, timeoutMs: number, signal?: AbortSignal): Promise<unknown> {
    const socket = this.#socket;
    if (this.#life.state !== "ready" || !socket) throw new LinkLost(this.#trouble(), { wasSent: false });
    return this.#pending.ask(method, params, {
      send: (text) => socket.send(text),
      maxBytes: this.#hello?.maxPayload ?? 0,
      timeoutMs,
      signal,
    });
  }

  #dial(): void {
    this.#dials += 1;
    const dial = this.#dials;
    const isCurrent = () => dial === this.#dials && this.#life.state !== "closed";
    const { parts, gateway } = { parts: this.#parts, gateway: this.#gateway };
    void parts.inTurn(
      gateway.organizationId,
      () =>
        new Promise<void>((settled) => {
          if (!isCurrent()) return settled();
          parts
            .device(gateway)
            .then((device) => {
              if (!isCurrent()) return settled();
              this.#open(device, isCurrent, settled);
            })
            .catch((error) => {
              settled();
              parts.log.warn({ err: error, gateway: this.gatewayId }, "a gateway's key could not be read");
              if (isCurrent()) this.#fail(unreadableKey());
            });
        }),
    );
  }

  #open(device: Device, isCurrent: () => boolean, settled: () => void): void {
    const { clock, hosts, held, log } = this.#parts;
    const bounds = { hosts, held, allowance: this.#allowance, asked: this.#pending };
    this.#socket = dialGateway(this.#gateway, device, clock, bounds, {
      ready: (hello) => {
        settled();
        if (!isCurrent()) return;
        this.#hello = hello;
        this.#take({ type: "ready", at: clock.now() });
      },
      frame: (frame) => (isCurrent() ? this.#hear(frame) : undefined),
      heard: () => {
        this.#heardAt = clock.now();
      },
      failed: (failure, cause) => {
        settled();
        if (cause !== undefined)
          log.info({ gateway: this.gatewayId, err: cause }, "a gateway's connection failed");
        if (isCurrent()) this.#fail(failure);
      },
    });
    const socket = this.#socket;
    this.#onHangUp = () => {
      settled();
      socket.end();
    };
  }

  #onHangUp: () => void = () => {};

  #hear(frame: GatewayFrame): Promise<void> | undefined {
    if (frame.type === "event") {
      if (frame.event === "shutdown") this.#take({ type: "announced", at: this.#now() });
      else this.#parts.events.event(this.gatewayId, frame.event, payloadOf(frame));
      return undefined;
    }
    if (frame.error && announcesRestart(frame.error)) this.#take({ type: "announced", at: this.#now() });
    return this.#pending.answer(frame);
  }

  #fail(failure: Failure): void {
    this.#take({ type: "failed", failure, jitter: this.#parts.random(), at: this.#now() });
  }

  #take(event: LinkEvent): void {
    const before = this.#life.state;
    const { life, effects } = reactLink(this.#life, event);
    this.#life = life;
    if (life.state !== before) this.#since = event.at;
    if (before === "ready" || event.type === "reconnect") this.#awaySince = event.at;
    this.#cancelDue();
    this.#cancelDue = () => {};
    const { dueAt } = life.context;
    if (dueAt !== null)
      this.#cancelDue = this.#parts.clock.after(Math.max(0, dueAt - event.at), () =>
        this.#take({ type: "due", at: this.#now() }),
      );
    for (const { type } of effects) {
      this.#hangUp();
      if (type === "dial") this.#dial();
    }
    if (life.state === before && event.type !== "reconnect") return;
    const { lastError } = life.context;
    this.#parts.log.info({ gateway: this.gatewayId, state: life.state, lastError }, "a gateway's link");
    for (const look of [...this.#watchers]) look();
    if (life.state !== "closed") this.#parts.events.status(this.status);
  }

  #hangUp(): void {
    this.#onHangUp();
    this.#onHangUp = () => {};
    this.#socket = null;
    this.#pending.lose(new LinkLost(this.#trouble(), { wasSent: true }));
  }

  #trouble(): string {
    const { lastError, hint } = this.#life.context;
    return withHint(lastError ?? "The connection to the gateway was lost", hint);
  }

  #notReady(transient: boolean): GatewayError {
    return new GatewayError(this.#trouble(), { transient });
  }

  #now(): number {
    return this.#parts.clock.now();
  }
}
