import type { Cancel, Clock } from "../clock.ts";
import { mayReconnect } from "../protocol/close-codes.ts";
import { type Codec, jsonCodec, msgpackCodec } from "../protocol/codec.ts";
import { assertContent } from "../protocol/content.ts";
import { fromWire, MusterError } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import {
  classify,
  failure,
  type Incoming,
  type MessageId,
  notification,
  type Params,
  request,
} from "../protocol/messages.ts";
import { Backoff } from "./backoff.ts";
import { clientClock } from "./clock.ts";
import {
  ABNORMAL_CLOSE,
  BAD_FRAME_CLOSE,
  closedError,
  closeError,
  isFinal,
  retryAfterMs,
} from "./close-error.ts";
import { Closing, NORMAL_CLOSE } from "./closing.ts";
import type { ConnectionHandlers, ConnectOptions } from "./connect-options.ts";
import { encodeWithin } from "./frame.ts";
import { assertShape, hasFields } from "./guards.ts";
import { type Answered, Requests } from "./requests.ts";
import { RESULTS } from "./results.ts";
import { ServedRequests } from "./served-requests.ts";
import { NOTIFICATIONS } from "./server-messages.ts";
import { type ClientSocket, platformSockets, type SocketHandlers, socketUrl } from "./socket.ts";

/** A socket that was opened must say `hello` and be answered within this, in milliseconds. */
const CONNECT_TIMEOUT_MS = 15_000;
/** So often we look whether anything came: quiet for a whole such time, the server is asked; still quiet, it is gone. */
const LOOK_MS = 15_000;
/** A connection that stood this long was a success, and the next pause is a short one again. */
const STABLE_MS = 10_000;
/** A notification is not sent while so many bytes wait to leave: the server does not read. */
const MOST_BUFFERED_BYTES = 4 * 1_048_576;
const DEFAULT_REQUEST_TIMEOUT_MS = 30_000;

type Phase = "idle" | "connecting" | "open" | "waiting" | "ended";

/**
 * One logical connection: a socket that says `hello`, carries requests and what the server sends, and is made again
 * whenever it is lost and the server allows it.
 */
export class Connection {
  readonly #options: ConnectOptions;
  readonly #handlers: ConnectionHandlers;
  readonly #url: string;
  readonly #codec: Codec;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #requests: Requests;
  #phase: Phase = "idle";
  #socket: ClientSocket | undefined;
  #helloId: MessageId | undefined;
  #usedToken: string | undefined;
  #openedAt = 0;
  #drainMs = 0;
  #mostFrameBytes: number = LIMITS.max_frame_bytes;
  #quietTicks = 0;
  /** Those of the present socket: what an earlier one has asked is not answered any more. */
  #served = new ServedRequests();
  #refusal: MusterError | undefined;
  #cancelTimer: Cancel = () => {};
  #closing: Closing | undefined;

  constructor(options: ConnectOptions, handlers: ConnectionHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#url = socketUrl(options.url);
    this.#codec = options.codec === "msgpack" ? msgpackCodec : jsonCodec;
    this.#clock = options.clock ?? clientClock;
    this.#backoff = new Backoff(options.random ?? Math.random);
    this.#requests = new Requests(this.#clock, (message) => this.#sendChecked(message));
  }

  get isOpen(): boolean {
    return this.#phase === "open";
  }

  /** Starts to connect; what comes of it the handlers hear. */
  start(): void {
    if (this.#phase === "idle") void this.#connect();
  }

  /**
   * Sends a request when its turn has come; `answered` is called in the turn in which the answer arrives. Requests
   * wait while there is no connection, as long as `timeoutMs`.
   */
  ask(method: string, params: object, answered: Answered, timeoutMs?: number): void {
    const limit = timeoutMs ?? this.#options.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS;
    if (this.#phase === "ended") return answered(closedError(method), undefined);
    this.#requests.ask(
      method,
      params,
      limit,
      method !== "agent.attach"
        ? answered
        : (error, result) => {
            this.#attached(result);
            answered(error, result);
          },
    );
  }

  /** A host may send larger frames once it carries its first agent. */
  #attached(result: unknown): void {
    if (!hasFields(result, RESULTS["agent.attach"])) return;
    this.#mostFrameBytes = result.limits?.max_frame_bytes ?? this.#mostFrameBytes;
  }

  /** `ask` as a promise. Rejects with MusterError. */
  request(method: string, params: object, timeoutMs?: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.ask(method, params, (error, result) => (error ? reject(error) : resolve(result)), timeoutMs);
    });
  }

  /** Sends a notification now. False when it was not sent: no connection, or the server does not read. */
  notify(method: string, params: object): boolean {
    if (this.#phase !== "open" || this.#socket === undefined) return false;
    if (this.#socket.bufferedAmount > MOST_BUFFERED_BYTES) return false;
    this.#sendChecked(notification(method, params));
    return true;
  }

  /** Gives up the present socket and connects again, for instance to use another token. */
  reconnect(): void {
    if (this.#phase === "open") this.#drop("reconnecting");
  }

  /** Ends the connection for good; resolves when the socket is closed, a second later at most. */
  close(): Promise<void> {
    const socket = this.#socket;
    if (this.#phase !== "ended") this.#end(undefined);
    if (socket !== undefined) this.#closing = new Closing(socket, this.#clock);
    return this.#closing?.done ?? Promise.resolve();
  }

  async #connect(): Promise<void> {
    this.#phase = "connecting";
    this.#refusal = undefined;
    const open = this.#options.sockets ?? (await platformSockets());
    // Closed by its owner in the meantime.
    if (this.#phase !== "connecting") return;
    this.#cancelTimer = this.#clock.after(CONNECT_TIMEOUT_MS, () => this.#drop("no answer from the server"));
    try {
      const socket: ClientSocket = open(
        this.#url,
        this.#codec.subprotocol,
        this.#handlersOf(() => socket),
      );
      this.#socket = socket;
      this.#served = new ServedRequests();
    } catch (error) {
      // A browser refuses some addresses at once, like ws: from a page that came by https.
      this.#lost(ABNORMAL_CLOSE, error instanceof Error ? error.message : String(error));
    }
  }

  /** What a socket calls; only the present one is listened to. */
  #handlersOf(self: () => ClientSocket): SocketHandlers {
    return {
      open: () => {
        if (this.#socket === self()) this.#sayHello();
      },
      message: (frame) => {
        if (this.#socket === self()) this.#receive(self(), frame);
      },
      alive: () => {
        if (this.#socket === self()) this.#quietTicks = 0;
      },
      close: (code, reason) => {
        if (this.#socket === self()) this.#lost(code, reason);
        this.#closing?.closed(self());
      },
    };
  }

  #sayHello(): void {
    const { client } = this.#options;
    const token = this.#handlers.token();
    this.#usedToken = token;
    this.#helloId = this.#requests.nextId();
    this.#socket?.send(this.#codec.encode(request(this.#helloId, "hello", { token, client })));
  }

  #receive(socket: ClientSocket, frame: string | Uint8Array): void {
    let decoded: unknown;
    try {
      decoded = this.#codec.decode(frame);
    } catch (error) {
      this.#end(new MusterError("parse_error", `the server sent what cannot be read: ${error}`));
      socket.close(BAD_FRAME_CLOSE, "bad frame");
      return;
    }
    for (const message of Array.isArray(decoded) ? decoded : [decoded]) {
      // A message before in the batch may have ended the connection.
      if (this.#socket !== socket) return;
      this.#dispatch(socket, classify(message));
    }
  }

  #dispatch(socket: ClientSocket, message: Incoming): void {
    switch (message.kind) {
      case "response":
        if (message.id === this.#helloId) this.#welcomed(message.result);
        else this.#requests.answer(message.id, undefined, message.result);
        return;
      case "response-error": {
        const error = fromWire(message.error);
        if (message.id === this.#helloId) this.#refused(socket, error);
        else if (message.id !== null) this.#requests.answer(message.id, error, undefined);
        return;
      }
      case "notification":
        if (message.method === "drain") this.#drain(message.params);
        this.#handlers.notification(message.method, message.params);
        return;
      case "request":
        void this.#serve(socket, message.id, message.method, message.params);
        return;
      case "invalid":
        return;
    }
  }

  #welcomed(hello: unknown): void {
    try {
      assertShape("internal", "the answer to hello is none of this protocol", hello, RESULTS.hello);
    } catch (error) {
      this.#drop(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#helloId = undefined;
    this.#phase = "open";
    this.#openedAt = this.#clock.now();
    this.#quietTicks = 0;
    this.#mostFrameBytes = hello.limits.max_frame_bytes ?? LIMITS.max_frame_bytes;
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.every(LOOK_MS, () => this.#checkAlive());
    this.#handlers.open(hello);
    if (this.isOpen) this.#requests.opened(hello.limits.max_in_flight ?? LIMITS.max_in_flight);
  }

  /** The server closes after it has refused a `hello`; what it says then is less than what it has said here. */
  #refused(socket: ClientSocket, error: MusterError): void {
    this.#helloId = undefined;
    this.#refusal = error;
    socket.close(NORMAL_CLOSE, "");
  }

  async #serve(socket: ClientSocket, id: MessageId, method: string, params: Params): Promise<void> {
    const answer = await this.#served.answer(id, () => this.#handlers.request(method, params));
    if (this.#socket === socket) socket.send(this.#frameOf(id, answer));
  }

  /** An answer as a frame; one that cannot be sent is told as an error. */
  #frameOf(id: MessageId, answer: object): string | Uint8Array {
    try {
      // What our side can write, the other need not take: values nested too deep, say.
      assertContent(answer);
      return encodeWithin(this.#mostFrameBytes, this.#codec, answer);
    } catch (error) {
      const why = `the result cannot be sent: ${error instanceof Error ? error.message : error}`;
      return this.#codec.encode(failure(id, new MusterError("internal", why)));
    }
  }

  #drain(params: Params): void {
    if (hasFields(params, NOTIFICATIONS.drain)) this.#drainMs = params.reconnect_after_ms;
  }

  #checkAlive(): void {
    const socket = this.#socket;
    // Without pings (in a browser) quiet says nothing.
    if (socket?.ping === undefined) return;
    this.#quietTicks += 1;
    if (this.#quietTicks > 2) this.#drop("the server has fallen silent");
    else if (this.#quietTicks === 2) socket.ping();
  }

  #sendChecked(message: unknown): void {
    this.#socket?.send(encodeWithin(this.#mostFrameBytes, this.#codec, message));
  }

  /** Gives up a socket from our side. */
  #drop(why: string): void {
    const socket = this.#socket;
    this.#lost(ABNORMAL_CLOSE, why);
    socket?.abort();
  }

  #lost(code: number, reason: string): void {
    const stood = this.#phase === "open" ? this.#clock.now() - this.#openedAt : 0;
    const why = this.#refusal ?? closeError(code, reason);
    const tokenChanged = this.#handlers.token() !== this.#usedToken;
    const final = this.#refusal ? isFinal(this.#refusal) : !mayReconnect(code);
    // A refusal is about the token: another one may be tried.
    if (final && !(tokenChanged && why.reason === "unauthenticated")) {
      this.#end(why);
      return;
    }
    this.#detachSocket();
    this.#phase = "waiting";
    if (stood >= STABLE_MS) this.#backoff.reset();
    const retryInMs = this.#backoff.next(Math.max(this.#drainMs, retryAfterMs(this.#refusal)));
    this.#drainMs = 0;
    this.#cancelTimer = this.#clock.after(retryInMs, () => void this.#connect());
    this.#requests.lost("the connection was lost");
    this.#handlers.lost(why, retryInMs);
  }

  #end(why: MusterError | undefined): void {
    this.#detachSocket();
    this.#phase = "ended";
    this.#requests.end(
      why === undefined ? "the connection was closed" : `the connection ended (${why.message})`,
    );
    this.#handlers.ended(why);
  }

  #detachSocket(): void {
    this.#socket = undefined;
    this.#helloId = undefined;
    this.#cancelTimer();
  }
}
