import { setTimeout as pause } from "node:timers/promises";
import { Fleet, insertAgents } from "../test/support/fleet.ts";
import { Wire } from "../test/support/wire.ts";
import { Beats } from "./support/beats.ts";
import { Child } from "./support/child.ts";
import { percentile, type Result } from "./support/results.ts";
import { startBenchServer } from "./support/server.ts";

const AGENTS = 100_000;
const BEATING = 5_000;
const GREATEST_S = 3;
const BESIDE_S = 3;
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
