import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { freePort } from "../free-port.ts";
import { FLAVOURS, type FlavourName } from "./flavours.ts";
import { checkConnect } from "./handshake.ts";
import { FakeState, Refused } from "./state.ts";

type Json = Record<string, unknown>;

/**
 * What goes wrong with one call: a restart before or after it is carried out, no answer (carried out or not), an answer
 * that is slow, comes only after the next one, comes in pieces or to another id first, a frame that is too large, a
 * write that is lost, an error of the gateway's.
 */
export type Fault =
  | "restart-before"
  | "restart-after"
  | "silent-before"
  | "silent-after"
  | "slow"
  | "late"
  | "split"
  | "wrong-id"
  | "close-1009"
  | "lost"
  | { error: Json };

const RESTART_MS = 30;
const SLOW_MS = 50;
/** How long a write takes where another may come in between. */
const WRITE_MS = 3;
const WRITES = new Set(["agents.create", "agents.update", "agents.delete", "config.patch"]);
/** What is refused for an agent that only the configuration has yet. */
const NEEDS_KNOWN = new Set(["agents.update", "agents.delete", "agents.files.get", "agents.files.set"]);
/** Fragments of an answer that comes in pieces, before the last one. */
const PIECES = 10;

type Answer = (body: Json, inPieces?: boolean) => void;

/** A gateway that is played in this process, on loopback; what it keeps outlives its restarts. */
export class FakeGateway {
  readonly state: FakeState;
  readonly token = "secret-of-the-gateway";
  /** Every call that came in, in order. */
  readonly calls: string[] = [];
  /** What its agents answer; null: nothing. */
  reply: string | null = null;
  /** What the gateway takes for the time, for its rate limits. */
  now: () => number = Date.now;
  /** Whether its agents' files can be found on this machine too. */
  isOnDisk = false;
  /** Devices that it does not know have to be allowed by a person. */
  asksForPairing = false;
  readonly paired = new Set<string>();
  /** Scopes that it takes from everyone. */
  readonly stripped = new Set<string>();
  readonly requestId = randomUUID();
  readonly #faults: { method: string; fault: Fault; of: string }[] = [];
  /** Writes under way. */
  readonly #writes = new Set<NodeJS.Timeout>();
  /** Agents that only the configuration has yet, and until when. */
  readonly #unknown = new Map<string, number>();
  /** Answers that are given after the next one. */
  #held: (() => void)[] = [];
  readonly #port: number;
  #server: WebSocketServer | undefined;
  #restarting: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  private constructor(flavour: FlavourName, port: number) {
    this.state = new FakeState(FLAVOURS[flavour]);
    this.#port = port;
  }

  /** A gateway that has to be stopped. */
  static async open(flavour: FlavourName): Promise<FakeGateway> {
    const gateway = new FakeGateway(flavour, await freePort());
    await gateway.listen();
    return gateway;
  }

  /** A gateway that is gone with the test. */
  static async start(t: TestContext, flavour: FlavourName): Promise<FakeGateway> {
    const gateway = await FakeGateway.open(flavour);
    t.after(() => gateway.stop());
    return gateway;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}`;
  }

  get connections(): number {
    return this.#server?.clients.size ?? 0;
  }

  /** The next call of the method goes wrong, or the next whose params have a text in them. */
  fault(method: string, fault: Fault, { times = 1, of = "" }: { times?: number; of?: string } = {}): void {
    for (let count = 0; count < times; count++) this.#faults.push({ method, fault, of });
  }

  /** Faults that nothing has met yet. */
  get faultsLeft(): number {
    return this.#faults.length;
  }

  callsOf(method: string): number {
    return this.calls.filter((called) => called === method).length;
  }

  async listen(): Promise<void> {
    const { maxPayload } = this.state.flavour;
    this.#server = new WebSocketServer({ host: "127.0.0.1", port: this.#port, maxPayload });
    this.#server.on("connection", (socket) => this.#serve(socket));
    await once(this.#server, "listening");
  }

  /** Whether no restart is under way or about to be: what is answered now arrives. */
  get isSettled(): boolean {
    return this.#timer === undefined && this.#restarting === undefined;
  }

  /** Ends every connection as a restart does, and is back soon. */
  restart(): Promise<void> {
    this.#restarting ??= (async () => {
      await this.close(1012, "service restart");
      this.state.forget();
      this.#held = [];
      this.#unknown.clear();
      await this.listen();
      this.#restarting = undefined;
    })();
    return this.#restarting;
  }

  async close(code = 1001, reason = ""): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const write of this.#writes) clearTimeout(write);
    this.#writes.clear();
    if (!server) return;
    for (const socket of server.clients) {
      if (code === 1012) this.#tell(socket, "shutdown", { reason: "gateway restarting" });
      socket.close(code, reason);
    }
    const closed = new Promise((resolve) => server.close(resolve));
    const ended = [...server.clients].map((socket) => once(socket, "close"));
    const cut = setTimeout(() => {
      for (const socket of server.clients) socket.terminate();
    }, 500);
    await Promise.all([closed, ...ended]);
    clearTimeout(cut);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#restarting;
    await this.close();
  }

  /** Something that the gateway tells everyone by itself. */
  tell(event: string, payload: Json): void {
    for (const socket of this.#server?.clients ?? []) this.#tell(socket, event, payload);
  }

  #tell(socket: WebSocket, event: string, payload: Json): void {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "event", event, payload }));
  }

  #serve(socket: WebSocket): void {
    const nonce = randomUUID();
    let isReady = false;
    socket.on("error", () => {});
    socket.on("message", (data) => {
      const { id, method, params } = JSON.parse(String(data));
      const answer: Answer = (body, inPieces = false) => {
        if (socket.readyState !== WebSocket.OPEN) return;
        const text = JSON.stringify({ type: "res", id, ...body });
        if (inPieces) for (const character of text.slice(0, PIECES)) socket.send(character, { fin: false });
        socket.send(inPieces ? text.slice(PIECES) : text);
      };
      const refuse = (error: unknown) => {
        if (!(error instanceof Refused)) throw error;
        answer({ ok: false, error: { code: error.code, message: error.message, ...error.extra } });
      };
      if (isReady) return this.#answer(socket, method, params, answer, refuse);
      try {
        const hello = this.#welcome(params, nonce);
        isReady = true;
        answer({ ok: true, payload: hello });
        this.#tell(socket, "health", {});
      } catch (error) {
        refuse(error);
        socket.close(1008, "refused");
      }
    });
    this.#tell(socket, "connect.challenge", { nonce, ts: Date.now() });
  }

  #welcome(params: unknown, nonce: string): Json {
    const { protocol, version, maxPayload } = this.state.flavour;
    const { deviceId, scopes } = checkConnect(params, { protocol, token: this.token, nonce });
    if (this.asksForPairing && !this.paired.has(deviceId))
      throw new Refused("pairing required", "NOT_PAIRED", {
        details: { code: "PAIRING_REQUIRED", requestId: this.requestId, deviceId },
      });
    return {
      type: "hello-ok",
      protocol,
      server: { version, connId: randomUUID() },
      features: { methods: [], events: [] },
      auth: { scopes: scopes.filter((scope) => !this.stripped.has(scope)) },
      policy: { maxPayload, tickIntervalMs: 30_000 },
    };
  }

  #answer(
    socket: WebSocket,
    method: string,
    params: Json,
    answer: Answer,
    refuse: (error: unknown) => void,
  ): void {
    this.calls.push(method);
    const text = JSON.stringify(params);
    const position = this.#faults.findIndex(
      (planned) => planned.method === method && text.includes(planned.of),
    );
    const fault = position < 0 ? undefined : this.#faults.splice(position, 1)[0]?.fault;
    if (fault === "restart-before") return void this.restart();
    if (fault === "silent-before") return;
    if (fault === "close-1009") return socket.close(1009);
    if (fault === "lost") return answer({ ok: true, payload: { ok: true } });
    if (typeof fault === "object") return answer({ ok: false, error: fault.error });
    if (!this.state.flavour.losesWrites || !WRITES.has(method))
      return this.#carryOut(socket, method, params, fault, answer, refuse);
    const before = this.state.copyRoster();
    const write = setTimeout(() => {
      this.#writes.delete(write);
      this.state.writeOver(before);
      this.#carryOut(socket, method, params, fault, answer, refuse);
    }, WRITE_MS);
    this.#writes.add(write);
  }

  #carryOut(
    socket: WebSocket,
    method: string,
    params: Json,
    fault: Fault | undefined,
    answer: Answer,
    refuse: (error: unknown) => void,
  ): void {
    try {
      const payload = this.#do(method, params);
      if (fault === "restart-after") return void this.restart();
      if (fault === "silent-after") return;
      if (fault === "slow") return void setTimeout(() => answer({ ok: true, payload }), SLOW_MS);
      if (fault === "late") return void this.#held.push(() => answer({ ok: true, payload }));
      if (fault === "wrong-id")
        socket.send(JSON.stringify({ type: "res", id: "nobody's", ok: true, payload: {} }));
      answer({ ok: true, payload }, fault === "split");
      for (const give of this.#held.splice(0)) give();
    } catch (error) {
      refuse(error);
    }
  }

  #do(method: string, params: Json): Json {
    const { state } = this;
    if (NEEDS_KNOWN.has(method) && this.#isUnknown(params.agentId))
      throw new Refused(`agent "${params.agentId}" not found`);
    switch (method) {
      case "agents.list":
        return state.list(({ id }) => !this.#isUnknown(id));
      case "agents.create":
        return this.#written("write", this.#create(params));
      case "agents.update":
        return this.#written("write", state.update(params));
      case "agents.delete":
        return this.#written("write", state.delete(params));
      case "agents.files.get":
        return state.file(params);
      case "agents.files.set":
        this.#writeToDisk(params);
        return state.setFile(params);
      case "config.get":
        return { config: state.config, hash: state.hash, valid: true };
      case "config.patch":
        return this.#written("patch", this.#patch(params));
      case "sessions.list":
        return state.listSessions(params);
      case "sessions.patch":
        return state.patchSession(params);
      case "sessions.reset":
        return state.resetSession(params);
      case "sessions.delete":
        return state.deleteSession(params);
      case "chat.send":
        return this.#chat(params);
      case "chat.history":
        return state.history(params);
    }
    throw new Refused(`unknown method: ${method}`);
  }

  #create(params: Json): Json {
    const made = this.state.create(params);
    const { knowsAfterMs } = this.state.flavour;
    if (knowsAfterMs > 0) this.#unknown.set(String(made.agentId), performance.now() + knowsAfterMs);
    return made;
  }

  /** After a patch the configuration is read again before the answer. */
  #patch(params: Json): Json {
    const patched = this.state.patch(params, this.now());
    this.#unknown.clear();
    return patched;
  }

  #isUnknown(id: unknown): boolean {
    return (this.#unknown.get(String(id)) ?? 0) > performance.now();
  }

  #writeToDisk({ agentId, name, content }: Json): void {
    if (!this.isOnDisk) return;
    const folder = String(this.state.file({ agentId, name }).workspace);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, String(name)), String(content));
  }

  #written(kind: "write" | "patch", payload: Json): Json {
    const { restartsAfter } = this.state.flavour;
    if (restartsAfter === "every write" || (restartsAfter === "patches" && kind === "patch")) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        void this.restart();
      }, RESTART_MS);
    }
    return payload;
  }

  #chat(params: Json): Json {
    const { sessionKey, idempotencyKey: runId } = params;
    const isFirst = this.state.send(params);
    if (isFirst && this.reply !== null) {
      const message = (text: string) => ({ role: "assistant", content: [{ type: "text", text }] });
      const about = { runId, sessionKey };
      const { reply } = this;
      setImmediate(() => {
        this.tell("chat", { ...about, seq: 1, state: "delta", message: message(reply.slice(0, 3)) });
        this.tell("chat", { ...about, seq: 2, state: "final", message: message(reply) });
      });
    }
    return { runId, status: isFirst ? "started" : "ok" };
  }
}
