import { setTimeout as pause } from "node:timers/promises";
import { insertAgents } from "../test/support/fleet.ts";
import { Child } from "./support/child.ts";
import { agentsOf, ECHO, openLanes, type Speech } from "./support/lanes.ts";
import type { Result } from "./support/results.ts";
import { round } from "./support/rounds.ts";
import { startBenchServer } from "./support/server.ts";

/** The first ones fill what a process has in stock; what the others add is counted. */
const FIRST = 2_000;
const AGENTS = 8_000;
/** Room for what is young, on both sides. With more of it, how much of it there happens to be would hide what is held. */
const YOUNG_MB = 1;
const MOST_BYTES = 1_536;
/** Everyone beats a few times, so slowly that what the work itself needs of memory is not what is counted. */
const RATE = 4_000;
const BEATS_EACH = 3;
const SETTLE_MS = 2_000;

/** What an agent that is connected, by a socket of its own, takes of memory, beside a bare socket that has done the same. */
export async function connected(): Promise<Result> {
  let tokens: string[] = [];
  const server = await startBenchServer({
    inspected: true,
    youngMb: YOUNG_MB,
    fill: async (database, place) => {
      tokens = (await insertAgents(database, place, AGENTS)).tokens;
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
  })
    // It is about as little as such a process goes up and down by itself.
    .then((bytes) => Math.max(0, bytes))
    .finally(() => child.stop());
  return {
    name: "connected",
    title: `Connected agents, one a socket, from ${FIRST.toLocaleString("en")} to ${AGENTS.toLocaleString("en")}`,
    rows: [
      {
        what: "resident memory that one takes more, after garbage collection, beyond a bare uWebSockets.js socket",
        ours: `${Math.round(ours - bare).toLocaleString("en")} bytes (${Math.round(ours).toLocaleString("en")} in all)`,
        reference: `at most ${MOST_BYTES.toLocaleString("en")} bytes; a bare socket: ${Math.round(bare).toLocaleString("en")} bytes`,
        ratio: (ours - bare) / MOST_BYTES,
        holds: ours - bare <= MOST_BYTES,
      },
    ],
  };
}

/** What a server's memory grows by for each socket that beats. */
async function bytesEach(
  url: string,
  { speechOf, memory }: { speechOf: (first: number) => Speech; memory: () => Promise<number> },
): Promise<number> {
  const opened: { close(): void }[] = [];
  const open = async (first: number, end: number) => {
    const { lanes, close } = await openLanes(url, end - first, speechOf(first));
    opened.push({ close });
    const durationMs = (lanes.length * BEATS_EACH * 1_000) / RATE;
    await round({ lanes, rate: RATE, warmUpMs: 0, durationMs, cpuSeconds: async () => 0 });
    if (lanes.some(({ settled }) => settled === 0)) throw new Error("not everyone has beaten");
    await pause(SETTLE_MS);
    return memory();
  };
  try {
    const before = await open(0, FIRST);
    return ((await open(FIRST, AGENTS)) - before) / (AGENTS - FIRST);
  } finally {
    for (const { close } of opened) close();
  }
}
