import { once } from "node:events";
import { createServer } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";
import { type Codec, codecFor, jsonCodec } from "../../src/protocol/codec.ts";
import { MusterError } from "../../src/protocol/errors.ts";
import {
  classify,
  failure,
  notification,
  type Params,
  request,
  success,
} from "../../src/protocol/messages.ts";

/** Answers a request of a client's; a MusterError that it throws is the answer. */
export type Handler = (params: Params, session: FakeSession) => unknown;

/** A server without a life of its own: it says what a test tells it to say. */
export interface FakeServer {
  url: string;
  /** All that ever connected, in order. */
  sessions: FakeSession[];
  /** By method; a missing one is answered `method_not_found`, `hello` has an answer of its own. */
  handlers: Record<string, Handler>;
  /** The session of this index, as soon as it has said hello. */
  session(index: number): Promise<FakeSession>;
  close(): Promise<void>;
}

export const ID = "00000000-0000-4000-8000-000000000001";

/** The answer to a user's `hello`. */
export function userHello(limits: Record<string, number> = {}) {
  return {
    session: "s1",
    protocol: 1,
    server: { name: "muster", version: "0.0.0" },
    node: "n1",
    time: "2026-01-01T00:00:00.000Z",
    principal: { kind: "user", id: ID, organization_id: ID, role: "owner" },
    limits: { max_frame_bytes: 1_048_576, max_in_flight: 64, ...limits },
  };
}

/** The answer to an agent's `hello`. */
export function agentHello(everyMs = 10_000) {
  return {
    ...userHello(),
    principal: { kind: "agent", id: ID, organization_id: ID },
    ch: 0,
    agent: agentRecord(1),
    heartbeat: { every_ms: everyMs, offline_after_ms: 60_000 },
  };
}

/** An agent as the wire shows it; number `n` gives it its id and its name. */
export function agentRecord(n: number, given: Record<string, unknown> = {}) {
  return {
    id: `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`,
    organization_id: ID,
    board_id: null,
    gateway_id: ID,
    name: `agent ${n}`,
    status: "online",
    is_board_lead: false,
    is_gateway_main: false,
    openclaw_session_id: `agent:agent-${n}:main`,
    heartbeat_config: { every: "10m" },
    identity_profile: null,
    identity_template: null,
    soul_template: null,
    last_seen_at: null,
    connected: true,
    reported: null,
    last_error: null,
    version: 1,
    created_at: "2026-01-01T00:00:00.000Z",
    updated_at: "2026-01-01T00:00:00.000Z",
    ...given,
  };
}

/** One client's connection. */
export class FakeSession {
  readonly codec: Codec;
  readonly #socket: WebSocket;
  readonly #received: { method: string; params: Params }[] = [];
  readonly #answers = new Map<string, (message: unknown) => void>();
  #arrived: (() => void)[] = [];
  #lastId = 0;
  #afterAnswer: object[] = [];

  constructor(socket: WebSocket, handlers: Record<string, Handler>) {
    this.#socket = socket;
    this.codec = codecFor(socket.protocol) ?? jsonCodec;
    socket.on("message", (data, isBinary) => {
      if (!Buffer.isBuffer(data)) throw new Error("ws gives buffers unless told otherwise");
      this.#take(classify(this.codec.decode(isBinary ? data : data.toString())), handlers);
    });
  }

  /** The params of the `index`th message with this method, as soon as it has come. */
  async received(method: string, index = 0): Promise<Params> {
    for (;;) {
      const found = this.#received.filter((message) => message.method === method)[index];
      if (found !== undefined) return found.params;
      await new Promise<void>((resolve) => this.#arrived.push(resolve));
    }
  }

  count(method: string): number {
    return this.#received.filter((message) => message.method === method).length;
  }

  notify(method: string, params: object): void {
    this.send(notification(method, params));
  }

  /** Sends a notification right behind the answer to the request that is being handled. */
  notifyAfterAnswer(method: string, params: object): void {
    this.#afterAnswer.push(notification(method, params));
  }

  send(message: unknown): void {
    this.#socket.send(this.codec.encode(message));
  }

  /** Sends a frame as it is: text, or bytes. */
  sendRaw(frame: string | Uint8Array): void {
    this.#socket.send(frame);
  }

  /** Asks the client; resolves to its result or to its error. */
  ask(method: string, params: object): Promise<unknown> {
    this.#lastId += 1;
    const id = `server-${this.#lastId}`;
    const answered = new Promise((resolve) => this.#answers.set(id, resolve));
    this.send(request(id, method, params));
    return answered;
  }

  /** Closes as a server does; without a code, the connection breaks. */
  close(code?: number, reason?: string): void {
    if (code === undefined) this.#socket.terminate();
    else this.#socket.close(code, reason);
  }

  /** Reads and answers nothing any more, not even pings: as if the machine had lost its power. */
  freeze(): void {
    this.#socket.pause();
  }

  async closed(): Promise<void> {
    if (this.#socket.readyState !== this.#socket.CLOSED) await once(this.#socket, "close");
  }

  #take(message: ReturnType<typeof classify>, handlers: Record<string, Handler>): void {
    if (message.kind === "request" || message.kind === "notification")
      this.#received.push({ method: message.method, params: message.params });
    if (message.kind === "request") void this.#serve(message.id, message.method, message.params, handlers);
    if (message.kind === "response") this.#answers.get(String(message.id))?.(message.result);
    if (message.kind === "response-error") this.#answers.get(String(message.id))?.(message.error);
    const arrived = this.#arrived;
    this.#arrived = [];
    for (const tell of arrived) tell();
  }

  async #serve(id: string | number, method: string, params: Params, handlers: Record<string, Handler>) {
    let answer: object;
    try {
      const handler = handlers[method];
      if (handler === undefined) throw new MusterError("method_not_found", `no ${method}`);
      answer = success(id, await handler(params, this));
    } catch (error) {
      if (!(error instanceof MusterError)) throw error;
      answer = failure(id, error);
    }
    for (const message of [answer, ...this.#afterAnswer.splice(0)])
      if (this.#socket.readyState === this.#socket.OPEN) this.send(message);
  }
}

/** Starts a fake server on a free port of this machine. */
export async function fakeServer(handlers: Record<string, Handler> = {}): Promise<FakeServer> {
  const all: Record<string, Handler> = { hello: () => userHello(), ...handlers };
  const http = createServer();
  const sockets = new WebSocketServer({ server: http, path: "/v1/socket" });
  const sessions: FakeSession[] = [];
  let connected: (() => void)[] = [];
  sockets.on("connection", (socket) => {
    sessions.push(new FakeSession(socket, all));
    for (const tell of connected.splice(0)) tell();
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const address = http.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    sessions,
    handlers: all,
    async session(index) {
      for (;;) {
        const session = sessions[index];
        if (session !== undefined) {
          await session.received("hello");
          return session;
        }
        await new Promise<void>((resolve) => connected.push(resolve));
      }
    },
    async close() {
      connected = [];
      for (const client of sockets.clients) client.terminate();
      sockets.close();
      http.close();
      await once(http, "close");
    },
  };
}
