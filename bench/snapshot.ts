import { setTimeout as pause } from "node:timers/promises";
import { Fleet, insertAgents } from "../test/support/fleet.ts";
import { Wire } from "../test/support/wire.ts";
import { Beats } from "./support/beats.ts";
import { Child } from "./support/child.ts";
import { median, percentile, type Result } from "./support/results.ts";
import { spread } from "./support/rounds.ts";
import { startBenchServer } from "./support/server.ts";

const AGENTS = 100_000;
const BEATING = 5_000;
const GREATEST_S = 2;
const BESIDE_S = 2;
const SNAPSHOTS = 3;
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
    const beside: number[][] = [];
    for (let count = 0; count < SNAPSHOTS; count++) {
      const read = reader.ask<Read>({});
      beside.push(await beats.steady(half, read));
      reads.push(await read);
    }
    await reader.stop();
    const worst = beside.map((times) => Math.max(...times));
    const p99s = beside.map((times) => percentile(times, 99));
    return {
      name: "snapshot",
      title: `A snapshot of ${AGENTS.toLocaleString("en")} agents beside heartbeats`,
      rows: [
        {
          what: `${Math.round(half).toLocaleString("en")} heartbeats/s, half the greatest rate: slowest ack while a snapshot is read; medians (least–greatest) of ${SNAPSHOTS}`,
          ours: `${spread(worst)} ms (p99 ${spread(p99s)} ms)`,
          reference: `at most ${MOST_MS} ms; alone ${Math.round(Math.max(...alone))} ms (p99 ${Math.round(percentile(alone, 99))} ms)`,
          ratio: median(worst) / MOST_MS,
          holds: median(worst) <= MOST_MS,
        },
        {
          what: "a snapshot, in how many notifications",
          ours: `${spread(
            reads.map(({ ms }) => ms / 1_000),
            1,
          )} s, ${reads[0]?.pages}`,
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
