import { writeFileSync } from "node:fs";
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { packageRoot } from "../src/package-root.ts";
import { insertAgents } from "../test/support/fleet.ts";
import { openAgents } from "./support/agents-lanes.ts";
import { chart } from "./support/chart.ts";
import { groupWriter, transactionWriter, type Writer, writeFor } from "./support/reference-beats.ts";
import { startReferencePostgres } from "./support/reference-postgres.ts";
import { median, type Result, type Row } from "./support/results.ts";
import { round, spread } from "./support/rounds.ts";
import { type BenchServer, startBenchServer } from "./support/server.ts";

const SOCKETS = 10;
const ROUNDS = 3;
const WARM_UP_MS = 200;
/** A round must see each agent beat several times: at least so long, and longer with more agents, in milliseconds. */
const LEAST_MS = 600;
const MS_AN_AGENT = 0.05;
const REFERENCE_MS = 400;
const POOL = 10;

/** What can be done as fast as it goes, and at half of that. */
interface Figures {
  rates: number[];
  p99s: number[];
}

interface Tier {
  agents: number;
  ours: Figures;
  groups: Figures;
  transactions: Figures;
}

/**
 * How rate and latency change with the number of agents that are attached, each of which beats with every frame of its
 * socket. Beside it what Postgres alone gives: the same groups in a bare UPDATE, and a transaction per heartbeat.
 *
 * @param name of the chapter, and of the chart beside RESULTS.md
 */
export async function scale(name: string, sizes: readonly number[]): Promise<Result> {
  const greatest = Math.max(...sizes);
  let tokens: string[] = [];
  const server = await startBenchServer({
    fill: async (database, place) => {
      tokens = (await insertAgents(database, place, greatest)).tokens;
    },
  });
  try {
    const reference = await startReferencePostgres(greatest);
    const single = postgres(reference.url, { max: 1 });
    const pool = postgres(reference.url, { max: POOL });
    try {
      const tiers: Tier[] = [];
      for (const agents of sizes) tiers.push(await tier(server, tokens.slice(0, agents), single, pool));
      writeFileSync(join(packageRoot, "bench", `${name}.svg`), draw(tiers));
      return {
        name,
        title: `Attached agents: from ${sizes[0]?.toLocaleString("en")} to ${greatest.toLocaleString("en")}`,
        chart: `${name}.svg`,
        rows: tiers.map(rowOf),
      };
    } finally {
      await Promise.all([single.end(), pool.end()]);
      await reference.stop();
    }
  } finally {
    await server.stop();
  }
}

async function tier(server: BenchServer, tokens: readonly string[], single: Sql, pool: Sql): Promise<Tier> {
  const agents = tokens.length;
  const attached = await openAgents(server.url, tokens, { sockets: SOCKETS, batch: true, codec: "msgpack" });
  const ids = (await single<{ id: string }[]>`select id from agents order by no limit ${agents}`).map(
    ({ id }) => id,
  );
  const group = groupWriter(single, agents);
  const transaction = transactionWriter(pool, ids);
  const figures = (): Figures => ({ rates: [], p99s: [] });
  const measured: Tier = { agents, ours: figures(), groups: figures(), transactions: figures() };
  const asFastAsItGoes = {
    lanes: attached.lanes,
    cpuSeconds: server.cpuSeconds,
    warmUpMs: WARM_UP_MS,
    durationMs: Math.max(LEAST_MS, agents * MS_AN_AGENT),
  };
  try {
    for (let count = 0; count < ROUNDS; count++) {
      const { rate } = await round(asFastAsItGoes);
      measured.ours.rates.push(rate);
      measured.ours.p99s.push((await round({ ...asFastAsItGoes, rate: rate / 2 })).p99);
      await reference(group, measured.groups);
      await reference(transaction, measured.transactions);
    }
    attached.check();
    return measured;
  } finally {
    await attached.close();
  }
}

async function reference(writer: Writer, { rates, p99s }: Figures): Promise<void> {
  const { rate } = await writeFor(writer, REFERENCE_MS);
  rates.push(rate);
  p99s.push((await writeFor(writer, REFERENCE_MS, rate / 2)).p99);
}

function rowOf({ agents, ours, groups, transactions }: Tier): Row {
  const rate = median(ours.rates);
  return {
    what: `${agents.toLocaleString("en")} agents on ${SOCKETS} sockets: heartbeats/s, and p99 at half of that rate; median (least–greatest) of ${ROUNDS} rounds`,
    ours: told(ours),
    reference: `bare UPDATE … FROM unnest ${told(groups)}; a transaction each ${told(transactions)}`,
    ratio: rate / median(groups.rates),
    holds: rate > median(transactions.rates),
  };
}

const told = ({ rates, p99s }: Figures) => `${spread(rates)}, ${spread(p99s, 1)} ms`;

function draw(tiers: readonly Tier[]): string {
  const lines = [
    { name: "Muster", of: (one: Tier) => one.ours },
    { name: "bare UPDATE FROM unnest", of: (one: Tier) => one.groups },
    { name: "a transaction per heartbeat", of: (one: Tier) => one.transactions },
  ];
  const panel = (title: string, figure: (figures: Figures) => readonly number[]) => ({
    title,
    series: lines.map(({ name, of }) => ({
      name,
      points: tiers.map((one) => ({ x: one.agents, y: median(figure(of(one))) })),
    })),
  });
  return chart("agents attached", [
    panel("Durable heartbeats a second", ({ rates }) => rates),
    panel("p99 at half of that rate, milliseconds", ({ p99s }) => p99s),
  ]);
}
