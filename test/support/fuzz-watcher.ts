import { until } from "./await.ts";
import { FuzzView } from "./fuzz-view.ts";
import { type Message, Wire } from "./wire.ts";

/** Someone who watches topics, whatever by. */
export interface FuzzWatcher {
  readonly name: string;
  /** What it watches, ended ones too. */
  shown(): { topic: string; ended: boolean; ready: boolean; items: ReadonlyMap<string, Message> }[];
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  /** Loses the connection. */
  drop(): void;
  /** Comes back, and watches again what it watched. */
  connect(): Promise<void>;
  /** Does not read until it is told to. */
  stall(): void;
  resume(): void;
  close(): Promise<void>;
}

/** Who is told of what a watcher sees. */
export interface FuzzJudge {
  complain(what: string): void;
  count(what: string): void;
}

const BACK_LATER = ["unavailable", "rate_limited", "timeout"];

/** A watcher by the bare protocol. */
export class WireWatcher implements FuzzWatcher {
  readonly name: string;
  readonly #options: { url: string; token: string; codec: "json" | "msgpack" };
  readonly #complain: (what: string) => void;
  readonly #count: (what: string) => void;
  readonly #views = new Map<string, FuzzView>();
  readonly #asked = new Map<string, { view: FuzzView; since: FuzzView["since"] }>();
  #wire: Wire | undefined;
  #connecting: Promise<void> | undefined;
  #last = 0;
  #closed = false;

  constructor(
    name: string,
    options: { url: string; token: string; codec: "json" | "msgpack" },
    { complain, count }: FuzzJudge,
  ) {
    this.name = name;
    this.#options = options;
    this.#complain = (what) => complain(`${name}: ${what}`);
    this.#count = count;
  }

  shown() {
    return [...this.#views.values()].map(({ topic, state, whole, items }) => ({
      topic,
      ended: state === "ended",
      ready: state === "live" && whole,
      items,
    }));
  }

  subscribe(topic: string): void {
    const known = this.#views.get(topic);
    const view = !known || known.state === "ended" ? new FuzzView(topic, this.#complain) : known;
    this.#views.set(topic, view);
    this.#ask(view);
  }

  unsubscribe(topic: string): void {
    const view = this.#views.get(topic);
    if (!view) return;
    // What is still on its way to it must not be taken for a later view of the topic.
    view.state = "asking";
    this.#views.delete(topic);
    this.#send("unsubscribe", { topic });
  }

  drop(): void {
    this.#wire?.end();
    this.#lost();
  }

  connect(): Promise<void> {
    if (this.#wire || this.#closed) return Promise.resolve();
    this.#connecting ??= until(() => this.#tryToConnect(), {
      what: `${this.name} to connect`,
      timeoutMs: 30_000,
    })
      .then(() => {})
      .finally(() => {
        this.#connecting = undefined;
      });
    return this.#connecting;
  }

  stall(): void {
    this.#wire?.socket.pause();
  }

  resume(): void {
    if (this.#wire?.socket.isPaused) this.#wire.socket.resume();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#connecting?.catch(() => {});
    this.drop();
  }

  async #tryToConnect(): Promise<boolean> {
    if (this.#closed) return true;
    const wire = await Wire.open(this.#options).catch(() => undefined);
    if (!wire) return false;
    const hello = await wire.hello(this.#options.token).catch(() => undefined);
    if (!hello) {
      wire.end();
      return false;
    }
    this.#wire = wire;
    // Behind the wire's own listener: what it has received is there, in the order of the frames.
    wire.socket.on("message", () => this.#take(wire));
    wire.socket.on("close", () => {
      if (this.#wire === wire) this.#lost();
    });
    for (const view of this.#views.values()) if (view.state !== "ended") this.#ask(view);
    if (wire.closed) this.#lost();
    return true;
  }

  #lost(): void {
    this.#wire = undefined;
    this.#asked.clear();
    for (const view of this.#views.values()) if (view.state !== "ended") view.state = "off";
  }

  #ask(view: FuzzView): void {
    if (!this.#wire) return;
    const { since } = view;
    view.state = "asking";
    for (const [id, asked] of this.#asked) if (asked.view === view) this.#asked.delete(id);
    const id = this.#send("subscribe", { topic: view.topic, ...(since && { since }) });
    this.#asked.set(id, { view, since });
  }

  #send(method: string, params: object): string {
    this.#last += 1;
    const id = `${this.name}-${this.#last}`;
    if (this.#wire && !this.#wire.closed) this.#wire.send({ id, method, params });
    return id;
  }

  #take(wire: Wire): void {
    for (const message of wire.received.splice(0)) {
      if (this.#wire !== wire) return;
      if (message.method === undefined) this.#answered(message);
      else if (message.params?.topic !== undefined) {
        const view = this.#views.get(message.params.topic);
        this.#count(message.method);
        if (message.method !== "seen") view?.notified(message.method, message.params);
      }
    }
  }

  #answered({ id, result, error }: Message): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (error && !BACK_LATER.includes(error.data.reason) && error.data.reason !== "not_found")
      this.#complain(`${error.data.reason}: ${error.message}`);
    if (!asked || this.#views.get(asked.view.topic) !== asked.view) return;
    if (asked.since) this.#count(result?.recovered ? "recovered" : "not recovered");
    if (!error) asked.view.begun(result, asked.since);
    else if (BACK_LATER.includes(error.data.reason)) this.#ask(asked.view);
    else asked.view.state = "ended";
  }
}
