import { setTimeout as pause } from "node:timers/promises";
import { connect } from "../src/client/index.ts";
import { AgentsHost } from "./support/agents-host.ts";
import { Child } from "./support/child.ts";
import { median, percentile, type Result } from "./support/results.ts";
import { spread } from "./support/rounds.ts";
import { type BenchServer, startBenchServer } from "./support/server.ts";

const STALLED = 200;
const HEALTHY = 50;
const CHANGES_A_SECOND = 30;
const AGENTS = 200;
/** Heavy changes, so that a minute is enough to fill all that the kernel keeps for a socket. */
const TEMPLATE = "s".repeat(20_000);
const ROUNDS = 3;
const WARM_UP_S = 1;
/** Shorter than it takes for a stalled reader to be closed. */
const MEASURED_S = 4;
/** What may wait for one reader. */
const LIMIT_BYTES = 524_288;
/** How much longer healthy readers may wait than while the others read too. */
const MOST_SLOWER = 1.5;

/** What stalled readers cost: the server's memory, and the time in which a change reaches those who read. */
export async function stalled(): Promise<Result> {
  const server = await startBenchServer();
  const owner = await connect({ url: server.url, token: server.token });
  const host = await AgentsHost.create(owner, server.url, AGENTS, TEMPLATE);
  const { child: healthy } = await Child.start("subscribers", [
    server.url,
    server.token,
    String(HEALTHY),
    "5",
  ]);
  try {
    const rounds: Round[] = [];
    for (let count = 0; count < ROUNDS; count++) rounds.push(await round(server, host, healthy));
    // Of each round for itself: a noisy neighbour spoils a round, seldom two.
    const ratios = rounds.map(({ without, beside }) => beside / without);
    const grown = Math.max(...rounds.map((one) => one.grown));
    const closed = rounds.reduce((sum, one) => sum + one.closed, 0);
    const { wrong } = await healthy.ask<{ wrong: number }>({ ask: "progress" });
    const mega = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
    return {
      name: "stalled",
      title: `Stalled readers: ${STALLED} who do not read beside ${HEALTHY} who do`,
      rows: [
        {
          what: `${CHANGES_A_SECOND} changes/s of 20 kB: p99 from transition to arrival at healthy readers, medians (least–greatest) of ${ROUNDS} rounds`,
          ours: `${spread(rounds.map(({ beside }) => beside))} ms`,
          reference: `${spread(rounds.map(({ without }) => without))} ms while they all read; at most ${MOST_SLOWER} times, was ${spread(ratios, 2)}`,
          ratio: median(ratios),
          holds: median(ratios) <= MOST_SLOWER,
        },
        {
          what: "memory that the server takes more, at its greatest",
          ours: mega(grown),
          reference: `${mega(STALLED * LIMIT_BYTES)}: limit × readers`,
          ratio: grown / (STALLED * LIMIT_BYTES),
          holds: grown <= STALLED * LIMIT_BYTES,
        },
        {
          what: "healthy streams with a gap, a repeat or a reset; stalled readers closed before their time",
          ours: `${wrong}; ${closed}`,
          reference: "0; 0",
          ratio: null,
          holds: wrong === 0 && closed === 0,
        },
      ],
    };
  } finally {
    await host.close();
    await owner.close();
    await healthy.stop();
    await server.stop();
  }
}

interface Round {
  /** p99 in milliseconds, while all read and beside those who do not. */
  without: number;
  beside: number;
  /** Bytes that the server took more. */
  grown: number;
  /** Readers that were closed before their time. */
  closed: number;
}

/** All read, then most of them stop. */
async function round(server: BenchServer, host: AgentsHost, healthy: Child): Promise<Round> {
  const { child: readers } = await Child.start("stalled-readers", [
    server.url,
    server.token,
    String(STALLED),
  ]);
  try {
    await push(host, healthy, WARM_UP_S);
    const without = await push(host, healthy, MEASURED_S);
    const before = await server.memoryBytes();
    await readers.ask({ ask: "stall" });
    let most = 0;
    const watch = setInterval(async () => {
      most = Math.max(most, await server.memoryBytes());
    }, 200);
    const beside = await push(host, healthy, MEASURED_S);
    clearInterval(watch);
    const { closed } = await readers.ask<{ closed: number }>({ ask: "closed" });
    return { without, beside, grown: most - before, closed };
  } finally {
    await readers.stop();
  }
}

/** Changes agents at a steady rate. Returns the p99 of the time until those who read have a change, in milliseconds. */
async function push(host: AgentsHost, healthy: Child, seconds: number): Promise<number> {
  await healthy.ask({ ask: "latencies" });
  const began = performance.now();
  for (let sent = 0; sent < CHANGES_A_SECOND * seconds; sent++) {
    host.toggle(sent % AGENTS);
    const ahead = began + ((sent + 1) * 1_000) / CHANGES_A_SECOND - performance.now();
    if (ahead > 1) await pause(ahead);
  }
  await pause(500);
  const { latencies } = await healthy.ask<{ latencies: number[] }>({ ask: "latencies" });
  return percentile(latencies, 99);
}
