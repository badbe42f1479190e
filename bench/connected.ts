import { setTimeout as pause } from "node:timers/promises";
import { insertAgents } from "../test/support/fleet.ts";
import { Child } from "./support/child.ts";
import { agentsOf, ECHO, openLanes, type Speech } from "./support/lanes.ts";
import { median, type Result } from "./support/results.ts";
import { round, spread } from "./support/rounds.ts";
import { startBenchServer } from "./support/server.ts";

/** The first ones fill what a process has in stock; what the others add is counted, step by step. */
const FIRST = 2_000;
const STEP = 2_500;
const STEPS = 3;
/** Room for what is young, on both sides. With more of it, how much of it there happens to be would hide what is held. */
const YOUNG_MB = 1;
const MOST_BYTES = 1_536;
/** Everyone beats, so slowly that what the work itself needs of memory is not what is counted. */
const RATE = 4_000;
const SETTLE_MS = 1_000;

/** What an agent that is connected, by a socket of its own, takes of memory, beside a bare socket that has done the same. */
export async function connected(): Promise<Result> {
  let tokens: string[] = [];
  const server = await startBenchServer({
    inspected: true,
    youngMb: YOUNG_MB,
    fill: async (database, place) => {
      tokens = (await insertAgents(database, place, FIRST + STEPS * STEP)).tokens;
    },
  });
  const ours = await bytesEach(server.url, {
    speechOf: (from) => agentsOf(tokens.slice(from)),
    memory: server.restingBytes,
  }).finally(server.stop);
  const { child, first } = await Child.start<{ url: string }>(
    "echo-server",
    [],
    [`--max-semi-space-size=${YOUNG_MB}`],
  );
  const bare = await bytesEach(first.url, {
    speechOf: () => ECHO,
    memory: async () => (await child.ask<{ bytes: number }>({})).bytes,
  }).finally(() => child.stop());
  const over = median(ours) - median(bare);
  return {
    name: "connected",
    title: `Connected agents, one a socket, by ${STEPS} times ${STEP.toLocaleString("en")} beyond ${FIRST.toLocaleString("en")}`,
    rows: [
      {
        what: "resident memory that one takes more, after garbage collection, beyond a bare uWebSockets.js socket; medians (least–greatest)",
        ours: `${Math.round(over).toLocaleString("en")} bytes (${spread(ours)} in all)`,
        reference: `at most ${MOST_BYTES.toLocaleString("en")} bytes; a bare socket: ${spread(bare)} bytes`,
        ratio: over / MOST_BYTES,
        holds: over <= MOST_BYTES,
      },
    ],
  };
}

/** What a server's memory grows by for each socket that beats, in each step. */
async function bytesEach(
  url: string,
  { speechOf, memory }: { speechOf: (first: number) => Speech; memory: () => Promise<number> },
): Promise<number[]> {
  const opened: { close(): void }[] = [];
  const open = async (first: number, count: number) => {
    const { lanes, close } = await openLanes(url, count, speechOf(first));
    opened.push({ close });
    // A round as long as it takes until everyone has had its turn.
    const durationMs = (1.2 * lanes.length * 1_000) / RATE;
    await round({ lanes, rate: RATE, warmUpMs: 0, durationMs, cpuSeconds: async () => 0 });
    if (lanes.some(({ settled }) => settled === 0)) throw new Error("not everyone has beaten");
    await pause(SETTLE_MS);
    return memory();
  };
  try {
    const growth: number[] = [];
    await memory();
    let before = await open(0, FIRST);
    for (let step = 0; step < STEPS; step++) {
      const after = await open(FIRST + step * STEP, STEP);
      growth.push((after - before) / STEP);
      before = after;
    }
    return growth;
  } finally {
    for (const { close } of opened) close();
  }
}
