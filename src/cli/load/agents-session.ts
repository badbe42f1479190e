import { Connection } from "../../client/connection.ts";
import { MusterError } from "../../client/index.ts";
import type { SocketHandlers } from "../../client/socket.ts";
import { type Codec, jsonCodec, msgpackCodec } from "../../protocol/codec.ts";
import { fromWire } from "../../protocol/errors.ts";
import { classify, type Params } from "../../protocol/messages.ts";
import { METHODS } from "../../protocol/methods.ts";
import { serverNotifications } from "../../protocol/session.ts";
import { CLIENT } from "../target.ts";
import { ackReader, beatRound } from "./beats.ts";
import { inParallel } from "./in-parallel.ts";
import type { Lane } from "./lane.ts";
import { LeanSocket } from "./lean-socket.ts";

/** How long a server may be away before the load gives up, in milliseconds. */
const GIVE_UP_MS = 10_000;
/** How long the first heartbeats of a session may take: each is a transition, in milliseconds. */
const COME_ONLINE_MS = 120_000;
/** The number of these: less than any that a lane sends. */
const FIRST_BEAT = 1;

export interface AgentsSessionOptions {
  url: string;
  codec: "json" | "msgpack";
  /** One heartbeat message for all agents instead of one each. */
  batch: boolean;
  /** Of the agents that the session carries. */
  tokens: readonly string[];
}

/** Who hears of what goes wrong in a session. */
export interface Trouble {
  /** The server refused something, or took an agent away. */
  error(message: string): void;
  /** The socket was lost, and is made again. */
  reconnecting(): void;
  /** It cannot go on. */
  failed(why: Error): void;
}

/** One socket that carries agents: attaches them, lets their lane send, and does so again when the socket is lost. */
export class AgentsSession {
  readonly #options: AgentsSessionOptions;
  readonly #lane: Lane;
  readonly #trouble: Trouble;
  readonly #codec: Codec;
  readonly #connection: Connection;
  #socket: LeanSocket | undefined;
  #wasReady = false;
  #onReady = () => {};
  #onFirstAck = () => {};
  #giveUp: NodeJS.Timeout | undefined;

  constructor(options: AgentsSessionOptions, lane: Lane, trouble: Trouble) {
    this.#options = options;
    this.#lane = lane;
    this.#trouble = trouble;
    this.#codec = options.codec === "msgpack" ? msgpackCodec : jsonCodec;
    this.#connection = new Connection(
      { url: options.url, codec: options.codec, client: CLIENT, sockets: this.#open.bind(this) },
      {
        token: () => undefined,
        open: () => void this.#attachAll(),
        lost: (why) => this.#lost(why),
        ended: (why) => why && trouble.failed(why),
        notification: (method, params) => this.#notified(method, params),
        request: async (method) => {
          throw new MusterError("method_not_found", `${method}: these agents only beat`);
        },
      },
    );
  }

  /** Resolves when all agents are attached and online. When that cannot be, the trouble is told. */
  start(): Promise<void> {
    return new Promise((resolve) => {
      this.#onReady = resolve;
      this.#connection.start();
    });
  }

  close(): Promise<void> {
    clearTimeout(this.#giveUp);
    this.#onFirstAck();
    this.#lane.closed();
    return this.#connection.close();
  }

  #open(url: string, subprotocol: string, handlers: SocketHandlers): LeanSocket {
    const readAck = ackReader(this.#codec);
    const socket = new LeanSocket(url, subprotocol, {
      ...handlers,
      peek: (bytes, start, end) => {
        const number = readAck(bytes, start, end);
        if (Number.isNaN(number)) return false;
        this.#lane.acknowledgedUpTo(number);
        return true;
      },
      message: (frame) => {
        // The connection has no use for errors that answer no request: these are about heartbeats.
        if (this.#lane.isOpen) this.#lookForErrors(frame);
        handlers.message(frame);
      },
    });
    this.#socket = socket;
    return socket;
  }

  async #attachAll(): Promise<void> {
    const socket = this.#socket;
    try {
      const chs = await inParallel(this.#options.tokens, async (token) => {
        const answer = await this.#connection.request("agent.attach", { token });
        return METHODS["agent.attach"].result.parse(answer).ch;
      });
      await this.#comeOnline(chs);
      if (socket === undefined || socket !== this.#socket || !this.#connection.isOpen) return;
      clearTimeout(this.#giveUp);
      this.#giveUp = undefined;
      this.#wasReady = true;
      this.#lane.opened(socket, beatRound(this.#codec, chs, this.#options.batch));
      this.#onReady();
    } catch (error) {
      // When the connection was lost meanwhile, the next one tries it all again.
      if (socket === this.#socket && this.#connection.isOpen) this.#trouble.failed(asError(error));
    }
  }

  /** The first heartbeats take agents from another state to online, which is not what a load measures. */
  #comeOnline(chs: readonly number[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`no acknowledgement of the first heartbeats within ${COME_ONLINE_MS} ms`)),
        COME_ONLINE_MS,
      );
      this.#onFirstAck = () => {
        clearTimeout(late);
        resolve();
      };
      this.#connection.notify("heartbeats", { n: FIRST_BEAT, chs });
    });
  }

  #lost(why: MusterError): void {
    this.#onFirstAck();
    this.#lane.closed();
    if (!this.#wasReady) return this.#trouble.failed(why);
    this.#trouble.reconnecting();
    this.#giveUp ??= setTimeout(
      () => this.#trouble.failed(new Error(`the server was lost and is not back (${why.message})`)),
      GIVE_UP_MS,
    );
  }

  #notified(method: string, params: Params): void {
    if (method === "detached") return this.#trouble.error(`an agent was detached: ${params.reason}`);
    const ack = method === "ack" ? serverNotifications.ack.safeParse(params) : undefined;
    if (!ack?.success) return;
    if (ack.data.n >= FIRST_BEAT) this.#onFirstAck();
    this.#lane.acknowledgedUpTo(ack.data.n);
  }

  #lookForErrors(frame: string | Uint8Array): void {
    const decoded = this.#codec.decode(frame);
    for (const message of Array.isArray(decoded) ? decoded : [decoded]) {
      const incoming = classify(message);
      if (incoming.kind === "response-error" && incoming.id === null)
        this.#trouble.error(fromWire(incoming.error).message);
    }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
