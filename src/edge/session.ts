import { randomUUID } from "node:crypto";
import { type Principal, toWire, type UserPrincipal } from "../auth/principals.ts";
import { readToken } from "../auth/tokens.ts";
import type { Cancel } from "../clock.ts";
import { identify } from "../commands/identify.ts";
import type { Services } from "../commands/services.ts";
import { validate } from "../commands/validate.ts";
import type { Subscriber } from "../live/topic.ts";
import type { Metrics } from "../metrics.ts";
import { version } from "../package-root.ts";
import { type BareBeat, readJsonBeat, readPackedBeat } from "../protocol/bare-beat.ts";
import { CLOSE, type Close, strangersFrameTooLarge } from "../protocol/close-codes.ts";
import { type Codec, FrameTooRich } from "../protocol/codec.ts";
import { MusterError } from "../protocol/errors.ts";
import { SERVER_BOUNDS } from "../protocol/frame-bounds.ts";
import { HELLO_DEADLINE_MS, LIMITS, STRANGER_LIMITS } from "../protocol/limits.ts";
import { classify, type MessageId, notification, request, success } from "../protocol/messages.ts";
import type { Params } from "../protocol/methods.ts";
import { sessionMethods } from "../protocol/session.ts";
import { type CallAnswer, Calls } from "./calls.ts";
import { Channels, type ChannelsHost } from "./channels.ts";
import { Dispatcher, type DispatcherHost } from "./dispatcher.ts";
import type { Expiries } from "./expiries.ts";
import type { Failed } from "./failures.ts";
import { Subscriptions } from "./subscriptions.ts";
import type { SessionHandler, Transport } from "./transport.ts";

/** Where a session stands; nothing but `hello` moves it on. */
type State =
  | { phase: "awaiting hello"; cancelDeadline: Cancel }
  | { phase: "identifying"; waiting: unknown[] }
  | { phase: "open"; principal: Principal }
  | { phase: "closed" };

/** Frames that may arrive between `hello` and its answer, and their bytes. */
const MOST_WAITING = LIMITS.max_batch;
const MOST_WAITING_BYTES = 16 * STRANGER_LIMITS.max_frame_bytes;

/** What the server as a whole has to know of a session. */
export interface SessionParts {
  services: Services;
  metrics: Metrics;
  /** This server's name among others. */
  node: string;
  failed: Failed;
  expiries: Expiries;
  /** The session is gone. */
  onClosed(session: Session): void;
}

/** The answer to `hello`, and what is to follow once it has been sent. */
interface Greeting {
  result: object;
  after?: (() => Promise<void>) | undefined;
}

/** Where the numbers of a bare heartbeat are read to. */
const BEAT: BareBeat = { n: 0, ch: 0 };

/**
 * One socket's conversation: who it is, its requests, its agents' channels, its subscriptions. What most agents never
 * need is made when it is needed: there are very many sessions, and most of them only beat.
 */
export class Session implements SessionHandler, Subscriber, ChannelsHost, DispatcherHost {
  readonly #parts: SessionParts;
  readonly #transport: Transport;
  #bearer: string | undefined;
  #state: State;
  #tokenId: string | undefined;
  /** Where the session's token stops being good some time. */
  #cancelExpiry: Cancel | undefined;
  #waitingBytes = 0;
  /** Nobody has shown a token here that is good: neither the session's own nor an agent's. */
  #isStranger = true;
  #channels: Channels | undefined;
  #dispatcher: Dispatcher | undefined;
  #calls: Calls | undefined;
  #subscriptions: Subscriptions | undefined;

  constructor(transport: Transport, bearer: string | undefined, parts: SessionParts) {
    this.#parts = parts;
    this.#transport = transport;
    this.#bearer = bearer;
    const cancelDeadline = this.services.clock.after(HELLO_DEADLINE_MS, () => this.close(CLOSE.noHello));
    this.#state = { phase: "awaiting hello", cancelDeadline };
  }

  get services(): Services {
    return this.#parts.services;
  }

  get metrics(): Metrics {
    return this.#parts.metrics;
  }

  get failed(): Failed {
    return this.#parts.failed;
  }

  get channels(): Channels {
    this.#channels ??= new Channels(this);
    return this.#channels;
  }

  get calls(): Calls {
    this.#calls ??= new Calls(this.services.clock, (id, method, params) =>
      this.send(request(id, method, params)),
    );
    return this.#calls;
  }

  get subscriptions(): Subscriptions {
    this.#subscriptions ??= new Subscriptions(this.services, this);
    return this.#subscriptions;
  }

  get codec(): Codec {
    return this.#transport.codec;
  }

  get bufferedBytes(): number {
    return this.#transport.bufferedBytes;
  }

  get isOpen(): boolean {
    return this.#transport.isOpen;
  }

  /** The public part of the token that the session was opened with, from the moment that it was shown. */
  get tokenId(): string | undefined {
    return this.#tokenId;
  }

  /** The agent whose own session this is. */
  get agentId(): string | undefined {
    const principal = this.#principal;
    return principal?.kind === "agent" ? principal.agentId : undefined;
  }

  /** The user who has signed in, if it is one. */
  get user(): UserPrincipal | undefined {
    const principal = this.#principal;
    return principal?.kind === "user" ? principal : undefined;
  }

  /** What the user is now; undefined: no member any more. What the role does not allow ends. */
  roleIs(role: UserPrincipal["role"] | undefined): void {
    const { user } = this;
    if (!user || this.#state.phase !== "open" || role === user.role) return;
    if (role === undefined) return this.close(CLOSE.tokenRevoked);
    const principal = { ...user, role };
    this.#state.principal = principal;
    if (this.#dispatcher) this.#dispatcher.principal = principal;
    this.#subscriptions?.recheck(principal);
  }

  get expiries(): Expiries {
    return this.#parts.expiries;
  }

  join(channel: string): void {
    this.#transport.join(channel);
  }

  leave(channel: string): void {
    this.#transport.leave(channel);
  }

  acknowledge(n: number): void {
    this.metrics.framesOut.inc();
    this.#transport.send(this.codec.encodeAck(n));
  }

  notify(method: string, params: object): void {
    this.send(notification(method, params));
  }

  /** One message, or a batch of them. */
  send(message: object): void {
    this.sendFrame(this.codec.encode(message));
  }

  /** What is encoded already. */
  sendFrame(frame: string | Uint8Array): void {
    this.metrics.framesOut.inc();
    this.#transport.send(frame);
  }

  /** A good token was shown: from now on frames may be large. Returns the limits if that is news. */
  admitted(): typeof LIMITS | undefined {
    if (!this.#isStranger) return undefined;
    this.#isStranger = false;
    this.#transport.admitted();
    return LIMITS;
  }

  ask(owner: object, method: string, params: object, timeoutMs: number): Promise<CallAnswer> {
    if (this.#state.phase === "closed") return Promise.resolve("lost");
    return this.calls.ask(owner, method, params, timeoutMs);
  }

  release(owner: object): void {
    this.#calls?.release(owner);
  }

  revoked(): void {
    this.close(CLOSE.tokenRevoked);
  }

  flooded(): void {
    this.close(CLOSE.flooding);
  }

  dismissAsSlow(): void {
    this.close(CLOSE.slowReader);
  }

  close(close: Close): void {
    this.#transport.close(close);
  }

  message(frame: Uint8Array): void {
    this.metrics.framesIn.inc();
    if (this.#state.phase === "open" && this.#readBeat(frame)) return this.#beat();
    if (this.#isStranger && frame.length > STRANGER_LIMITS.max_frame_bytes)
      return this.close(strangersFrameTooLarge);
    if (this.#state.phase === "identifying") {
      this.#waitingBytes += frame.length;
      if (this.#waitingBytes > MOST_WAITING_BYTES) return this.close(CLOSE.flooding);
    }
    let message: unknown;
    try {
      message = this.codec.decode(frame, SERVER_BOUNDS);
    } catch (error) {
      return this.#unreadable(error);
    }
    this.#take(message);
  }

  #unreadable(error: unknown): void {
    const id = error instanceof FrameTooRich ? error.id : null;
    if (this.#state.phase === "awaiting hello") return this.#refuseStranger(id);
    // Before the answer to hello there are few enough of them.
    if (this.#state.phase === "identifying") return this.send(this.failed(id, "parse", error));
    this.#openDispatcher()?.refuse(id, error);
  }

  #openDispatcher(): Dispatcher | undefined {
    if (this.#state.phase !== "open") return undefined;
    this.#dispatcher ??= new Dispatcher(this.#state.principal, this);
    return this.#dispatcher;
  }

  /** Most frames are bare heartbeats: these need no decoding, no message and no look at a method. */
  #readBeat(frame: Uint8Array): boolean {
    return this.codec.binary ? readPackedBeat(frame, BEAT) : readJsonBeat(frame, BEAT);
  }

  #beat(): void {
    try {
      this.channels.beat(BEAT.n, BEAT.ch);
    } catch (error) {
      this.send(this.failed(null, "heartbeat", error));
    }
  }

  drained(): void {
    this.#subscriptions?.drained();
    this.#dispatcher?.drained();
  }

  ended(topic: string): void {
    this.#subscriptions?.ended(topic);
  }

  closed(): void {
    if (this.#state.phase === "awaiting hello") this.#state.cancelDeadline();
    this.#state = { phase: "closed" };
    this.#cancelExpiry?.();
    this.#dispatcher?.close();
    this.#subscriptions?.close();
    this.#channels?.close();
    this.#calls?.close();
    this.#parts.onClosed(this);
  }

  #take(message: unknown): void {
    switch (this.#state.phase) {
      case "awaiting hello":
        return this.#greet(message);
      case "identifying":
        if (this.#state.waiting.push(message) > MOST_WAITING) this.close(CLOSE.flooding);
        return;
      case "open":
        return this.#openDispatcher()?.take(message);
      case "closed":
        return;
    }
  }

  #greet(message: unknown): void {
    const first = Array.isArray(message) ? message[0] : message;
    const incoming = classify(first);
    if (incoming.kind !== "request" || incoming.method !== "hello")
      return this.#refuseStranger(
        incoming.kind === "request" || incoming.kind === "invalid" ? incoming.id : null,
      );
    const waiting: unknown[] = Array.isArray(message) && message.length > 1 ? [message.slice(1)] : [];
    let params: Params<"hello">;
    try {
      params = validate(sessionMethods.hello.params, incoming.params);
    } catch (error) {
      // A bad message in a good frame: it may be said better, until the deadline.
      this.send(this.failed(incoming.id, "hello", error));
      for (const later of waiting) this.#take(later);
      return;
    }
    if (this.#state.phase === "awaiting hello") this.#state.cancelDeadline();
    this.#state = { phase: "identifying", waiting };
    void this.#welcome(incoming.id, params, waiting);
  }

  /** Answers `hello`, then takes what came meanwhile. Never rejects. */
  async #welcome(id: MessageId, params: Params<"hello">, waiting: readonly unknown[]): Promise<void> {
    let greeting: Greeting;
    try {
      greeting = await this.#identify(params);
    } catch (error) {
      this.send(this.failed(id, "hello", error));
      // 4401 tells a client never to come back with this token: only for what is the token's own fault.
      const isRefused = error instanceof MusterError && error.reason === "unauthenticated";
      return this.close(isRefused ? CLOSE.unauthenticated : CLOSE.goingAway);
    }
    if (this.#state.phase !== "open") return;
    try {
      this.send(success(id, greeting.result));
      await greeting.after?.();
    } catch (error) {
      this.failed(id, "hello", error);
    }
    for (const later of waiting) this.#take(later);
  }

  async #identify({ token = this.#bearer }: Params<"hello">): Promise<Greeting> {
    const { services, node } = this.#parts;
    this.#bearer = undefined;
    // Known before it is looked up: a token that is revoked meanwhile ends this session too.
    this.#tokenId = token === undefined ? undefined : readToken(token)?.id;
    const identity = token === undefined ? undefined : await identify(services, token);
    // The row's text: the other is a part of the token, and would keep all of it in memory.
    this.#tokenId = identity?.principal.tokenId;
    // Gone meanwhile: an agent that were attached now would stay so for ever.
    if (!this.isOpen) return { result: {} };
    const principal: Principal = identity?.principal ?? { kind: "host" };
    const attached = principal.kind === "agent" ? await this.channels.attachSelf(principal) : undefined;
    if (this.#state.phase === "closed") return { result: {} };
    this.#state = { phase: "open", principal };
    const expiresAt = identity?.expiresAt ?? null;
    if (expiresAt !== null)
      this.#cancelExpiry = this.expiries.add(expiresAt, () => this.close(CLOSE.tokenRevoked));
    if (principal.kind !== "host") this.admitted();
    const result = {
      session: randomUUID(),
      protocol: 1,
      server: { name: "muster", version },
      node,
      time: new Date(services.clock.now()).toISOString(),
      principal: toWire(principal),
      limits: this.#isStranger ? STRANGER_LIMITS : LIMITS,
      ...attached?.result,
    };
    return { result, after: attached?.after };
  }

  get #principal(): Principal | undefined {
    return this.#state.phase === "open" ? this.#state.principal : undefined;
  }

  #refuseStranger(id: string | number | null): void {
    const why = "The first message must be the request hello, with a token or without one.";
    this.send(this.failed(id, "hello", new MusterError("unauthenticated", why)));
    this.close(CLOSE.unauthenticated);
  }
}
