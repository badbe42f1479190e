import { Agent } from "../../src/client/index.ts";
import { until } from "./await.ts";
import { CutSockets, hastyClock } from "./fuzz-sdk.ts";
import { type Message, Wire } from "./wire.ts";

/**
 * An agent's program. It knows `do` (answers its n), `fail` (answers an error) and `hold` (answers only once it is
 * released), and counts what it did by the command's id.
 */
export interface FuzzAgent {
  readonly id: string;
  /** How often each command was done. */
  readonly done: ReadonlyMap<string, number>;
  /** Commands in the order in which they came first. */
  readonly arrived: readonly string[];
  beat(): void;
  signOff(): void;
  drop(): void;
  connect(): Promise<void>;
  /** From now on it answers what it holds. */
  release(): void;
  close(): Promise<void>;
}

class Doings {
  readonly done = new Map<string, number>();
  readonly arrived: string[] = [];
  readonly #known = new Set<string>();

  arrive(id: string): void {
    if (this.#known.has(id)) return;
    this.#known.add(id);
    this.arrived.push(id);
  }

  do(id: string): void {
    this.done.set(id, (this.done.get(id) ?? 0) + 1);
  }
}

/** By the SDK, whose memory of what was done is the one that is proven. */
export class SdkAgent extends Doings implements FuzzAgent {
  readonly id: string;
  readonly #agent: Agent;
  readonly #sockets: CutSockets;
  #release = () => {};
  readonly #released = new Promise<void>((resolve) => {
    this.#release = resolve;
  });

  private constructor(id: string, agent: Agent, sockets: CutSockets) {
    super();
    this.id = id;
    this.#agent = agent;
    this.#sockets = sockets;
    agent.onCommand("do", (args, command) => {
      this.arrive(command.id);
      this.do(command.id);
      return args;
    });
    agent.onCommand("fail", (_args, command) => {
      this.arrive(command.id);
      this.do(command.id);
      throw new Error("it could not be done");
    });
    agent.onCommand("hold", async (args, command) => {
      this.arrive(command.id);
      await this.#released;
      this.do(command.id);
      return args;
    });
  }

  static async open(
    id: string,
    options: { url: string; token: string; codec: "json" | "msgpack"; random: () => number },
  ): Promise<SdkAgent> {
    const sockets = new CutSockets();
    const agent = new Agent({ ...options, clock: hastyClock, sockets: await sockets.factory() });
    return new SdkAgent(id, agent, sockets);
  }

  beat(): void {
    this.#agent.beat();
  }

  signOff(): void {}

  drop(): void {
    this.#sockets.cut();
  }

  async connect(): Promise<void> {}

  release(): void {
    this.#release();
  }

  async close(): Promise<void> {
    this.#release();
    await this.#agent.stop();
  }
}

/** By the bare protocol: it remembers its answers itself, and leaves held ones unanswered, to be asked again. */
export class WireAgent extends Doings implements FuzzAgent {
  readonly id: string;
  readonly #options: { url: string; token: string; codec: "json" | "msgpack" };
  #wire: Wire | undefined;
  #connecting: Promise<void> | undefined;
  #n = 0;
  #released = false;
  #closed = false;

  constructor(id: string, options: { url: string; token: string; codec: "json" | "msgpack" }) {
    super();
    this.id = id;
    this.#options = options;
  }

  beat(): void {
    this.#n += 1;
    this.#notify({ n: this.#n });
  }

  signOff(): void {
    this.#n += 1;
    this.#notify({ n: this.#n, status: "offline" });
  }

  drop(): void {
    this.#wire?.end();
    this.#wire = undefined;
  }

  connect(): Promise<void> {
    if ((this.#wire && !this.#wire.closed) || this.#closed) return Promise.resolve();
    this.#connecting ??= until(() => this.#tryToConnect(), { what: "an agent to connect", timeoutMs: 30_000 })
      .then(() => {})
      .finally(() => {
        this.#connecting = undefined;
      });
    return this.#connecting;
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    // What it has left unanswered comes again with the next socket.
    this.drop();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#connecting?.catch(() => {});
    this.drop();
  }

  #notify(params: object): void {
    if (this.#wire && !this.#wire.closed) this.#wire.notify("heartbeat", params);
  }

  async #tryToConnect(): Promise<boolean> {
    if (this.#closed) return true;
    const wire = await Wire.open(this.#options).catch(() => undefined);
    if (!wire) return false;
    // Commands can come with the answer to hello.
    wire.socket.on("message", () => {
      for (const message of wire.received.splice(0)) this.#serve(wire, message);
    });
    const refused = await wire.hello(this.#options.token).then(
      () => undefined,
      (error) => error.reason,
    );
    if (refused === undefined && !wire.closed) {
      this.#wire = wire;
      return true;
    }
    wire.end();
    // It was deleted: there is nothing to come back to.
    if (refused === "unauthenticated") this.#closed = true;
    return this.#closed;
  }

  #serve(wire: Wire, { id, method, params }: Message): void {
    if (method !== "command" || wire.closed) return;
    const { command_id, name, args } = params;
    this.arrive(command_id);
    if (name === "hold" && !this.#released) return;
    if (!this.done.has(command_id)) this.do(command_id);
    if (name === "fail") wire.send({ id, error: { code: 1, message: "it could not be done" } });
    else wire.send({ id, result: args });
  }
}
