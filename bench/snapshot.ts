import { setTimeout as pause } from "node:timers/promises";
import { Fleet, insertAgents } from "../test/support/fleet.ts";
import { Wire } from "../test/support/wire.ts";
import { Child } from "./support/child.ts";
import { percentile, type Result } from "./support/results.ts";
import { startBenchServer } from "./support/server.ts";

const AGENTS = 100_000;
const BEATING = 5_000;
/** Agents that beat with one message. */
const A_MESSAGE = 500;
const GREATEST_S = 5;
const BESIDE_S = 5;
const SNAPSHOTS = 3;
/** Messages under way while the greatest rate is looked for. */
const UNDER_WAY = 8;
const MOST_MS = 250;

type Read = { agents: number; pages: number; ms: number };

/** A new subscriber is sent a hundred thousand agents, while heartbeats go on at half the greatest rate. */
export async function snapshot(): Promise<Result> {
  let tokens: string[] = [];
  const server = await startBenchServer({
    fill: async (database, place) => {
      tokens = (await insertAgents(database, place, AGENTS, { tokens: BEATING })).tokens;
    },
  });
  const wire = await Wire.open({ url: server.url, codec: "msgpack" });
  try {
    await wire.hello();
    const fleet = await Fleet.attach(wire, tokens);
    fleet.beatAll();
    await fleet.acknowledged();
    const beats = new Beats(wire, fleet);
    const greatest = await beats.greatest(GREATEST_S);
    const half = greatest / 2;
    const alone = await beats.steady(half, pause(BESIDE_S * 1_000));
    const { child: reader } = await Child.start("snapshot-reader", [server.url, server.token]);
    const reads: Read[] = [];
    const beside = await beats.steady(
      half,
      (async () => {
        for (let count = 0; count < SNAPSHOTS; count++) reads.push(await reader.ask<Read>({}));
      })(),
    );
    await reader.stop();
    const slowest = Math.max(...reads.map(({ ms }) => ms));
    const worst = Math.round(Math.max(...beside));
    return {
      name: "snapshot",
      title: `A snapshot of ${AGENTS.toLocaleString("en")} agents beside heartbeats`,
      rows: [
        {
          what: `${Math.round(half).toLocaleString("en")} heartbeats/s, half the greatest rate: slowest ack while ${SNAPSHOTS} snapshots are read`,
          ours: `${worst} ms (p99 ${Math.round(percentile(beside, 99))} ms)`,
          reference: `at most ${MOST_MS} ms; alone ${Math.round(Math.max(...alone))} ms (p99 ${Math.round(percentile(alone, 99))} ms)`,
          ratio: worst / MOST_MS,
          holds: worst <= MOST_MS,
        },
        {
          what: "the slowest snapshot, in how many notifications",
          ours: `${(slowest / 1_000).toFixed(1)} s, ${reads[0]?.pages}`,
          reference: "all agents each time",
          ratio: null,
          holds: reads.every(({ agents }) => agents === AGENTS),
        },
      ],
    };
  } finally {
    wire.end();
    await server.stop();
  }
}

/** Sends heartbeats of a fleet, and measures how long their acknowledgements take. */
class Beats {
  readonly #wire: Wire;
  readonly #fleet: Fleet;
  readonly #frames: Buffer[] = [];
  readonly #sentAt = new Map<number, number>();
  #took: number[] = [];
  #onAck = () => {};

  constructor(wire: Wire, fleet: Fleet) {
    this.#wire = wire;
    this.#fleet = fleet;
    for (let first = 0; first < fleet.channels.length; first += A_MESSAGE) {
      const channels = fleet.channels.slice(first, first + A_MESSAGE);
      const bytes = Buffer.alloc(channels.length * 4);
      for (const [position, ch] of channels.entries()) bytes.writeUInt32LE(ch, position * 4);
      this.#frames.push(bytes);
    }
    wire.received.length = 0;
    wire.socket.on("message", () => {
      const now = performance.now();
      for (const { method, params } of wire.received.splice(0)) {
        if (method !== "ack") continue;
        for (const [n, at] of this.#sentAt) {
          if (n > params.n) break;
          this.#took.push(now - at);
          this.#sentAt.delete(n);
        }
      }
      this.#onAck();
    });
  }

  /** Heartbeats a second that are acknowledged when there are always some under way. */
  async greatest(seconds: number): Promise<number> {
    const fill = () => {
      while (this.#sentAt.size < UNDER_WAY) this.#send();
    };
    this.#took = [];
    this.#onAck = fill;
    fill();
    await pause(seconds * 1_000);
    this.#onAck = () => {};
    const rate = (this.#took.length * A_MESSAGE) / seconds;
    await this.#settled();
    return rate;
  }

  /** Sends at a steady rate until something has ended. How long each acknowledgement took, in milliseconds. */
  async steady(rate: number, until: Promise<unknown>): Promise<number[]> {
    let ended = false;
    const end = until.then(() => {
      ended = true;
    });
    this.#took = [];
    const began = performance.now();
    for (let sent = 0; !ended; sent++) {
      this.#send();
      const ahead = began + ((sent + 1) * A_MESSAGE * 1_000) / rate - performance.now();
      if (ahead > 0) await pause(ahead);
    }
    await end;
    await this.#settled();
    return this.#took;
  }

  #send(): void {
    const n = ++this.#fleet.n;
    this.#sentAt.set(n, performance.now());
    this.#wire.notify("heartbeats", { n, chs: this.#frames[n % this.#frames.length] });
  }

  async #settled(): Promise<void> {
    while (this.#sentAt.size > 0) await pause(5);
  }
}
