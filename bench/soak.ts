import { setTimeout as pause } from "node:timers/promises";
import { connect } from "../src/client/index.ts";
import { parseDuration } from "../src/protocol/duration.ts";
import { Fleet, insertAgents } from "../test/support/fleet.ts";
import { Wire } from "../test/support/wire.ts";
import { Beats } from "./support/beats.ts";
import { percentile, type Result, report, slope } from "./support/results.ts";
import { type BenchServer, startBenchServer } from "./support/server.ts";

/*
 * `npm run soak -- DURATION` (ten minutes unless told otherwise) lets a server work for a while at half of what it can, and
 * looks whether its memory stays as it is.
 */
const BEATING = 5_000;
/** Agents that come and go beside them, and how many moves a second they make together. */
const MOVING = 100;
const MOVES_A_SECOND = 20;
const GREATEST_S = 5;
/** The first part of the time, in which memory may still grow: caches fill, and V8 finds the size of its heap. */
const WARM_UP = 0.25;
const SAMPLE_MS = 500;
const MOST_P99_MS = 1_000;
/**
 * The heap of the server, in MB. With room for gigabytes V8 lets garbage lie for minutes, and a leak looks like that; with so
 * little it has to clean up every few seconds.
 */
const HEAP_MB = 128;
/**
 * What memory may grow, by the line through all samples: twice its ups and downs in such a heap. It is less than two bytes for
 * each heartbeat of a minute; what is kept of one by mistake (an entry in a map, a closure) is 40 at least.
 */
const MOST_GROWN_BYTES = 8e6;

async function soak(durationMs: number): Promise<Result> {
  let tokens: string[] = [];
  const server = await startBenchServer({
    environment: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}` },
    fill: async (database, place) => {
      tokens = (await insertAgents(database, place, BEATING + MOVING)).tokens;
    },
  });
  const wire = await Wire.open({ url: server.url, codec: "msgpack" });
  const movers = await Wire.open({ url: server.url, codec: "msgpack" });
  const stop = new AbortController();
  const watcher = await connect({ url: server.url, token: server.token });
  try {
    await wire.hello();
    await movers.hello();
    const moving = await Fleet.attach(movers, tokens.slice(BEATING));
    const beating = await Fleet.attach(wire, tokens.slice(0, BEATING));
    beating.beatAll();
    await beating.acknowledged();
    const beats = new Beats(wire, beating);
    const rate = (await beats.greatest(GREATEST_S)) / 2;
    const beside = [watch(watcher, stop.signal), move(movers, moving, stop.signal)];
    const samples: Sample[] = [];
    const took = await beats.steady(rate, sample(server, durationMs, samples));
    stop.abort();
    await Promise.all(beside);
    return resultOf({ rate, durationMs, took, samples, lost: beats.open });
  } finally {
    stop.abort();
    await watcher.close();
    movers.end();
    wire.end();
    await server.stop();
  }
}

/** Seconds since the start, and the bytes that the server holds. */
type Sample = readonly [number, number];

function resultOf({
  rate,
  durationMs,
  took,
  samples,
  lost,
}: {
  rate: number;
  durationMs: number;
  took: number[];
  samples: Sample[];
  lost: number;
}): Result {
  const settled = samples.filter(([at]) => at >= (durationMs * WARM_UP) / 1_000);
  const seconds = (settled.at(-1)?.[0] ?? 0) - (settled[0]?.[0] ?? 0);
  const grown = slope(settled) * seconds;
  const mega = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const p99 = Math.round(percentile(took, 99));
  return {
    name: "soak",
    title: `Soak: ${Math.round(durationMs / 1_000)} s at half the greatest rate`,
    rows: [
      {
        what: `${Math.round(rate).toLocaleString("en")} heartbeats/s, ${MOVES_A_SECOND} transitions/s, a watcher: ack p50 / p99 / slowest`,
        ours: `${Math.round(percentile(took, 50))} / ${p99} / ${Math.round(percentile(took, 100))} ms`,
        reference: `at most ${MOST_P99_MS} ms (p99)`,
        ratio: p99 / MOST_P99_MS,
        holds: p99 <= MOST_P99_MS,
      },
      {
        what: `memory from ${mega(settled[0]?.[1] ?? 0)} after the warm-up to ${mega(settled.at(-1)?.[1] ?? 0)}: growth in ${Math.round(seconds)} s, least squares`,
        ours: mega(grown),
        reference: `at most ${mega(MOST_GROWN_BYTES)}`,
        ratio: grown / MOST_GROWN_BYTES,
        holds: grown <= MOST_GROWN_BYTES,
      },
      {
        what: `messages without an ack, of ${(took.length + lost).toLocaleString("en")}`,
        ours: String(lost),
        reference: "0",
        ratio: null,
        holds: lost === 0,
      },
    ],
  };
}

async function sample(server: BenchServer, durationMs: number, samples: Sample[]): Promise<void> {
  const began = performance.now();
  for (let at = 0; at < durationMs; at = performance.now() - began) {
    samples.push([at / 1_000, await server.memoryBytes()]);
    await pause(SAMPLE_MS);
  }
}

/** Reads the live view of all agents until it is told to stop. */
async function watch(client: Awaited<ReturnType<typeof connect>>, stop: AbortSignal): Promise<void> {
  const changes = client.watch("agents")[Symbol.asyncIterator]();
  stop.addEventListener("abort", () => void changes.return?.());
  while (!(await changes.next()).done);
}

async function move(wire: Wire, fleet: Fleet, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    fleet.toggle(fleet.channels[fleet.n % MOVING] ?? 0);
    wire.received.length = 0;
    await pause(1_000 / MOVES_A_SECOND);
  }
}

const [given = "10m"] = process.argv.slice(2);
const durationMs = parseDuration(given);
if (durationMs === undefined || durationMs < 10_000) {
  console.error(`${given} is no duration of 10s or more, like 1m or 10m`);
  process.exit(2);
}
await report("soak", () => soak(durationMs));
