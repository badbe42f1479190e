import { once } from "node:events";
import { Packr, Unpackr } from "msgpackr";
import WebSocket from "ws";
import { until } from "./await.ts";

/** Whatever comes over the wire: tests look into it freely. */
// biome-ignore lint/suspicious/noExplicitAny: a test states what it expects of a message by looking into it
export type Message = any;

export interface WireOptions {
  url: string;
  codec?: "json" | "msgpack";
  /** For `hello`; null: none. */
  token?: string | null;
  headers?: Record<string, string>;
}

/** An error answer. */
export class WireFailure extends Error {
  readonly error: Message;

  constructor(error: Message) {
    super(`${error.data?.reason ?? error.code}: ${error.message}`);
    this.error = error;
  }

  get reason(): string {
    return this.error.data.reason;
  }
}

/** A plain WebSocket that speaks the protocol by hand: no code of the server's own is in it. */
export class Wire {
  readonly socket: WebSocket;
  readonly codec: "json" | "msgpack";
  /** Everything received that is no answer to `call`, in order of arrival. */
  readonly received: Message[] = [];
  /** How the socket was closed. */
  closed: { code: number; reason: string } | undefined;
  readonly #packr = new Packr({ useRecords: false });
  readonly #unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });
  readonly #calls = new Map<number | string, (message: Message) => void>();
  #lastId = 0;

  private constructor(socket: WebSocket, codec: "json" | "msgpack") {
    this.socket = socket;
    this.codec = codec;
    socket.on("message", (data: Buffer, isBinary) => {
      const message = isBinary ? this.#unpackr.decode(data) : JSON.parse(data.toString());
      for (const each of Array.isArray(message) ? message : [message]) this.#take(each);
    });
    socket.on("close", (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      for (const answer of this.#calls.values())
        answer({ error: { code, message: `closed with ${code}`, data: { reason: "closed" } } });
      this.#calls.clear();
    });
    socket.on("error", () => {});
  }

  static async open({ url, codec = "json", headers = {} }: WireOptions): Promise<Wire> {
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/socket`, [`muster.v1.${codec}`], {
      headers,
      perMessageDeflate: false,
    });
    const wire = new Wire(socket, codec);
    await once(socket, "open");
    return wire;
  }

  /** Sends any message (or batch) as it is. */
  send(message: unknown): void {
    this.socket.send(this.codec === "json" ? JSON.stringify(message) : this.#packr.encode(message));
  }

  /** Sends bytes or text that need not be a message. */
  sendRaw(frame: string | Uint8Array): void {
    this.socket.send(frame);
  }

  notify(method: string, params: object = {}): void {
    this.send({ method, params });
  }

  /** A request and its result. Rejects with WireFailure for an error. */
  async call(method: string, params: object = {}): Promise<Message> {
    const answer = await this.ask({ method, params });
    if (answer.error) throw new WireFailure(answer.error);
    return answer.result;
  }

  /** A request and its whole answer, error or not. */
  ask(message: { method: string; params?: unknown }): Promise<Message> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve) => {
      this.#calls.set(id, resolve);
      if (this.closed) return resolve({ error: { code: this.closed.code, message: "closed", data: {} } });
      this.send({ jsonrpc: "2.0", id, ...message });
    });
  }

  hello(token?: string): Promise<Message> {
    return this.call("hello", { ...(token === undefined ? {} : { token }), client: { name: "test" } });
  }

  /** The first received message, from `from` on, for which `test` holds; waits for it. */
  next(what: string, test: (message: Message) => unknown, from = 0): Promise<Message> {
    return until(() => this.received.slice(from).find((message) => test(message)), { what });
  }

  /** Waits for a pushed version of the agent for which `test` holds. */
  async pushed(agentId: string, what: string, test: (agent: Message) => unknown, from = 0): Promise<Message> {
    const find = (message: Message) =>
      message.method === "change" &&
      message.params.upserts.find((item: Message) => item.id === agentId && test(item));
    return find(await this.next(what, find, from));
  }

  /** Waits until the other side has closed. */
  async closing(): Promise<{ code: number; reason: string }> {
    return until(() => this.closed, { what: "the socket to be closed" });
  }

  end(): void {
    this.socket.terminate();
  }

  #take(message: Message): void {
    const answer = message.method === undefined ? this.#calls.get(message.id) : undefined;
    if (!answer) {
      this.received.push(message);
      return;
    }
    this.#calls.delete(message.id);
    answer(message);
  }
}
