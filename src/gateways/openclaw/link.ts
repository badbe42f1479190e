import type { z } from "zod";
import { type Failure, type LinkEvent, newLink, reactLink } from "../../../machines/gateway-link.ts";
import type { Cancel, Clock } from "../../clock.ts";
import { Limiter } from "../../limiter.ts";
import type { Log } from "../../log.ts";
import type { GatewayLink } from "../../protocol/gateway-links.ts";
import { type GatewayBrief, GatewayError } from "../driver.ts";
import type { Device } from "./device.ts";
import { LinkLost, refusalOf, withHint } from "./failures.ts";
import type { GatewayFrame } from "./frames.ts";
import { dialGateway, type GatewaySocket, type Hello } from "./socket.ts";

/** Requests under way at one gateway at a time; the others wait in order. */
const AT_ONCE = 8;
/** Requests that may wait for one gateway. */
const MOST_WAITING = 10_000;
const REQUEST_MS = 30_000;
/** How long work waits for a link that is not ready, before it is told to come back later, in milliseconds. */
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
  /** Waits for its turn, so that not all gateways are dialled in one instant. */
  inTurn: (dial: () => Promise<void>) => Promise<void>;
}

interface Pending {
  resolve(payload: unknown): void;
  reject(error: Error): void;
  askedAt: number;
}

/** The one kept connection to a gateway, which all its agents share. */
export class Link {
  readonly gatewayId: string;
  readonly #parts: LinkParts;
  #gateway: GatewayBrief & { url: string };
  #life = newLink();
  #since: number;
  #socket: GatewaySocket | null = null;
  /** Tells an older dial from the newest. */
  #dials = 0;
  #hello: Hello | null = null;
  #latencyMs: number | null = null;
  #heardAt = 0;
  #cancelDue: Cancel = () => {};
  #lastId = 0;
  #waiting = 0;
  readonly #pending = new Map<string, Pending>();
  readonly #places = new Limiter();
  readonly #watchers = new Set<() => void>();

  constructor(gateway: GatewayBrief & { url: string }, parts: LinkParts) {
    this.gatewayId = gateway.id;
    this.#gateway = gateway;
    this.#parts = parts;
    this.#since = parts.clock.now();
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
      latency_ms: this.#latencyMs,
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
    this.#fail({
      kind: "unreachable",
      error: `Nothing was heard of the gateway for ${SILENCE_MS / 1_000} s`,
      hint: null,
      pairingRequestId: null,
      retryAfterMs: 0,
    });
  }

  /**
   * Resolves when requests can be made. Throws GatewayError: for good when only a person can help, otherwise when it has
   * waited long enough or the signal says so.
   */
  ready({ signal, withinMs = READY_MS }: { signal?: AbortSignal; withinMs?: number } = {}): Promise<void> {
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
        else if (state === "closed") done(new LinkLost("The link to the gateway was closed"));
      };
      const cancel = this.#parts.clock.after(withinMs, () => done(this.#notReady(true)));
      this.#watchers.add(look);
      signal?.addEventListener("abort", look);
      look();
    });
  }

  /**
   * Asks the gateway. Throws GatewayRefusal when it says no, LinkLost when the connection went before the answer, another
   * GatewayError when it does not answer, or not in a known form.
   */
  async request<T>(
    method: string,
    params: object,
    schema: z.ZodType<T>,
    { signal, timeoutMs = REQUEST_MS }: { signal?: AbortSignal; timeoutMs?: number } = {},
  ): Promise<T> {
    if (this.#waiting >= MOST_WAITING)
      throw new GatewayError("Too many requests wait for this gateway", { transient: true });
    this.#waiting += 1;
    try {
      await this.ready(signal ? { signal } : {});
      const payload = await this.#places.run("", AT_ONCE, () => this.#ask(method, params, timeoutMs, signal));
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
    if (signal?.aborted) throw calledOff();
    if (this.#life.state !== "ready" || !socket) throw new LinkLost(this.#trouble());
    this.#lastId += 1;
    const id = String(this.#lastId);
    const text = JSON.stringify({ type: "req", id, method, params });
    const most = this.#hello?.maxPayload ?? 0;
    if (Buffer.byteLength(text) > most)
      throw new GatewayError(
        `${method} would take more than the ${most} bytes that the gateway takes at once`,
        {
          transient: false,
        },
      );
    let cancel: Cancel = () => {};
    let callOff = () => {};
    try {
      return await new Promise<unknown>((resolve, reject) => {
        this.#pending.set(id, { resolve, reject, askedAt: this.#now() });
        cancel = this.#parts.clock.after(timeoutMs, () =>
          reject(
            new GatewayError(`The gateway did not answer ${method} within ${timeoutMs / 1_000} s`, {
              transient: true,
            }),
          ),
        );
        callOff = () => reject(calledOff());
        signal?.addEventListener("abort", callOff);
        socket.send(text);
      });
    } finally {
      this.#pending.delete(id);
      cancel();
      signal?.removeEventListener("abort", callOff);
    }
  }

  #dial(): void {
    this.#dials += 1;
    const dial = this.#dials;
    const isCurrent = () => dial === this.#dials && this.#life.state !== "closed";
    const { parts, gateway } = { parts: this.#parts, gateway: this.#gateway };
    void parts.inTurn(
      () =>
        new Promise<void>((settled) => {
          if (!isCurrent()) return settled();
          parts.device(gateway).then(
            (device) => {
              if (!isCurrent()) return settled();
              this.#open(device, isCurrent, settled);
            },
            (error) => {
              settled();
              parts.log.warn({ err: error, gateway: this.gatewayId }, "a gateway's key could not be read");
              if (isCurrent())
                this.#fail({
                  kind: "unreachable",
                  error: "This server's key for the gateway could not be read",
                  hint: null,
                  pairingRequestId: null,
                  retryAfterMs: 0,
                });
            },
          );
        }),
    );
  }

  #open(device: Device, isCurrent: () => boolean, settled: () => void): void {
    const { clock } = this.#parts;
    this.#socket = dialGateway(this.#gateway, device, clock, {
      ready: (hello) => {
        settled();
        if (!isCurrent()) return;
        this.#hello = hello;
        this.#take({ type: "ready", at: clock.now() });
      },
      frame: (frame) => {
        if (isCurrent()) this.#hear(frame);
      },
      heard: () => {
        this.#heardAt = clock.now();
      },
      failed: (failure) => {
        settled();
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

  #hear(frame: GatewayFrame): void {
    if (frame.type === "event") {
      if (frame.event === "shutdown") this.#take({ type: "announced", at: this.#now() });
      else this.#parts.events.event(this.gatewayId, frame.event, frame.payload);
      return;
    }
    const pending = this.#pending.get(frame.id);
    if (!pending) return;
    this.#latencyMs = this.#now() - pending.askedAt;
    if (frame.ok) pending.resolve(frame.payload);
    else
      pending.reject(refusalOf(frame.error ?? { code: "UNKNOWN", message: "The gateway gave no reason." }));
  }

  #fail(failure: Failure): void {
    this.#take({ type: "failed", failure, jitter: this.#parts.random(), at: this.#now() });
  }

  #take(event: LinkEvent): void {
    const before = this.#life.state;
    const { life, effects } = reactLink(this.#life, event);
    this.#life = life;
    if (life.state !== before) this.#since = event.at;
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
    const lost = new LinkLost(this.#trouble());
    for (const { reject } of this.#pending.values()) reject(lost);
    this.#pending.clear();
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

const calledOff = () => new GatewayError("The work was called off", { transient: true });
