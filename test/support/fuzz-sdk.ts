import { type Client, connect, MusterError } from "../../src/client/index.ts";
import { type ClientSocket, platformSockets, type SocketFactory } from "../../src/client/socket.ts";
import type { Clock } from "../../src/clock.ts";
import { systemClock } from "../../src/clock.ts";
import type { FuzzJudge, FuzzWatcher } from "./fuzz-watcher.ts";
import type { Message } from "./wire.ts";

/** Pauses before the next try to connect are a fiftieth; what waits longer than a pause does is not touched. */
const LONGEST_PAUSE_MS = 5_000;
export const hastyClock: Clock = {
  ...systemClock,
  after: (ms, run) => systemClock.after(ms <= LONGEST_PAUSE_MS ? ms / 50 : ms, run),
};

/** Sockets of the real kind that can be cut. */
export class CutSockets {
  #present: ClientSocket | undefined;

  async factory(): Promise<SocketFactory> {
    const open = await platformSockets();
    return (url, subprotocol, handlers) => {
      this.#present = open(url, subprotocol, handlers);
      return this.#present;
    };
  }

  cut(): void {
    this.#present?.abort();
  }
}

interface Shown {
  items: Map<string, Message>;
  ready: boolean;
  ended: boolean;
  /** The program has no more interest in it. */
  left: boolean;
  end(): void;
}

/** A watcher by the SDK, whose program can be slow to take what its watches have for it. */
export class SdkWatcher implements FuzzWatcher {
  readonly name: string;
  readonly #client: Client;
  readonly #sockets: CutSockets;
  readonly #complain: (what: string) => void;
  readonly #count: (what: string) => void;
  readonly #shown = new Map<string, Shown>();
  #gate: { opened: Promise<void>; open(): void } | undefined;

  private constructor(name: string, client: Client, sockets: CutSockets, { complain, count }: FuzzJudge) {
    this.name = name;
    this.#client = client;
    this.#sockets = sockets;
    this.#complain = (what) => complain(`${name}: ${what}`);
    this.#count = count;
  }

  static async open(
    name: string,
    options: { url: string; token: string; codec: "json" | "msgpack"; random: () => number },
    judge: FuzzJudge,
  ): Promise<SdkWatcher> {
    const sockets = new CutSockets();
    const client = await connect({ ...options, clock: hastyClock, sockets: await sockets.factory() });
    return new SdkWatcher(name, client, sockets, judge);
  }

  shown() {
    return [...this.#shown].map(([topic, { items, ready, ended }]) => ({ topic, items, ready, ended }));
  }

  subscribe(topic: string): void {
    const known = this.#shown.get(topic);
    if (known && !known.ended) return;
    const watch = this.#client.watch(topic, { mostBuffered: 8 });
    const shown: Shown = {
      items: new Map(),
      ready: false,
      ended: false,
      left: false,
      end: () => void watch.return(),
    };
    this.#shown.set(topic, shown);
    this.#follow(topic, watch, shown).catch((error) => {
      shown.ended = true;
      const isGone = error instanceof MusterError && error.reason === "not_found";
      if (!shown.left && !isGone) this.#complain(`${topic}: ${error}`);
    });
  }

  unsubscribe(topic: string): void {
    const shown = this.#shown.get(topic);
    if (!shown) return;
    shown.left = true;
    this.#shown.delete(topic);
    shown.end();
  }

  drop(): void {
    this.#sockets.cut();
  }

  /** It comes back by itself. */
  async connect(): Promise<void> {}

  stall(): void {
    if (this.#gate) return;
    let open = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#gate = { opened, open };
  }

  resume(): void {
    this.#gate?.open();
    this.#gate = undefined;
  }

  async close(): Promise<void> {
    for (const shown of this.#shown.values()) shown.left = true;
    this.resume();
    await this.#client.close();
  }

  async #follow(topic: string, watch: AsyncIterable<Message>, shown: Shown): Promise<void> {
    let offset = -1;
    for await (const step of watch) {
      this.#count(`SDK ${step.kind}`);
      if (step.kind === "reset" || (step.kind === "snapshot" && offset === -1)) shown.items.clear();
      if (step.kind === "reset" || step.kind === "snapshot") {
        for (const item of step.items) shown.items.set(item.id, item);
        shown.ready = !step.more;
        offset = 0;
      } else if (step.kind === "change") {
        if (step.offset <= offset) this.#complain(`${topic}: offset ${step.offset} came after ${offset}`);
        offset = step.offset;
        for (const item of step.upserts) shown.items.set(item.id, item);
        for (const id of step.removes) shown.items.delete(id);
      }
      // A stalled program takes nothing more, whatever waits for it.
      await this.#gate?.opened;
    }
    shown.ended = true;
  }
}
