import { setTimeout as pause } from "node:timers/promises";
import { connect } from "../src/client/index.ts";
import { AgentsHost } from "./support/agents-host.ts";
import { Child } from "./support/child.ts";
import { median, percentile, type Result } from "./support/results.ts";
import { spread } from "./support/rounds.ts";
import { startBenchServer } from "./support/server.ts";

const SUBSCRIBERS = 1_000;
const CHANGES_A_SECOND = 200;
const STEADY_S = 4;
const STEADY_ROUNDS = 3;
const MOST_P99_MS = 150;
const AGENTS = 500;
const ROUNDS = 5;
const LEAST_OF_BARE = 0.6;
/** A round that takes longer is stuck. */
const ROUND_MS = 60_000;

type Progress = { least: number; bytes: number; wrong: number; firstAt: number };

/**
 * Pushes to many subscribers of one topic. First steady: changes at a fixed rate, each stream checked frame by frame, and the
 * time from a transition to its arrival. Then as fast as it goes: all agents change, everyone gets that, again; beside it a
 * bare uWebSockets.js that publishes as many bytes in the same closed loop. That is to our disadvantage: a round of ours begins
 * with the commit, the tick and the reading of what it sends, while nothing is sent; the bare server has it ready.
 */
export async function fanout(): Promise<Result> {
  const server = await startBenchServer();
  const { child: subscribers } = await Child.start("subscribers", [
    server.url,
    server.token,
    String(SUBSCRIBERS),
  ]);
  const owner = await connect({ url: server.url, token: server.token });
  const host = await AgentsHost.create(owner, server.url, AGENTS);
  try {
    await settle(subscribers);
    const steady: Awaited<ReturnType<typeof steadyPart>>[] = [];
    for (let count = 0; count < STEADY_ROUNDS; count++) steady.push(await steadyPart(host, subscribers));
    const p99s = steady.map(({ p99 }) => p99);
    const ours = await closedLoop(subscribers, () => host.toggleAll());
    const bytesEach = ours.bytes / SUBSCRIBERS;
    const bare = await bareLoop(Math.round(bytesEach));
    const wrong = steady.reduce((sum, one) => sum + one.wrong, 0);
    const rates = (times: readonly number[]) => spread(times.map((seconds) => ours.bytes / seconds / 1e6));
    const ratio = median(bare) / median(ours.times);
    return {
      name: "fanout",
      title: `Fan-out: ${SUBSCRIBERS} subscribers of one topic`,
      rows: [
        {
          what: `${CHANGES_A_SECOND} changes/s for ${STEADY_S} s: transition to arrival, p50 / p99; medians (least–greatest) of ${STEADY_ROUNDS} rounds`,
          ours: `${spread(steady.map(({ p50 }) => p50))} / ${spread(p99s)} ms`,
          reference: `at most ${MOST_P99_MS} ms (p99)`,
          ratio: median(p99s) / MOST_P99_MS,
          holds: median(p99s) <= MOST_P99_MS,
        },
        {
          what: "streams with a gap, a repeat or a reset",
          ours: String(wrong),
          reference: "0",
          ratio: null,
          holds: wrong === 0,
        },
        {
          what:
            `closed loop, ${Math.round(bytesEach / 1000)} kB to everyone, from ${AGENTS} transitions committed to the last ` +
            `arrival (of ${Math.round(median(ours.times) * 1_000)} ms, the first has it after ${Math.round(ours.firstMs)}): delivered; ` +
            `medians (least–greatest) of ${ROUNDS} rounds`,
          ours: `${rates(ours.times)} MB/s`,
          reference: `${rates(bare)} MB/s bare uWebSockets.js; at least ${LEAST_OF_BARE}`,
          ratio,
          holds: ratio >= LEAST_OF_BARE,
        },
      ],
    };
  } finally {
    await host.close();
    await owner.close();
    await subscribers.stop();
    await server.stop();
  }
}

async function steadyPart(host: AgentsHost, subscribers: Child) {
  await subscribers.ask({ ask: "latencies" });
  const before = await subscribers.ask<Progress>({ ask: "progress" });
  const began = performance.now();
  for (let sent = 0; sent < CHANGES_A_SECOND * STEADY_S; sent++) {
    host.toggle(sent % AGENTS);
    const ahead = began + ((sent + 1) * 1_000) / CHANGES_A_SECOND - performance.now();
    if (ahead > 1) await pause(ahead);
  }
  await settle(subscribers);
  const { latencies } = await subscribers.ask<{ latencies: number[] }>({ ask: "latencies" });
  const { wrong } = await subscribers.ask<Progress>({ ask: "progress" });
  return { p50: percentile(latencies, 50), p99: percentile(latencies, 99), wrong: wrong - before.wrong };
}

/** Rounds in which everyone gets everything once: their seconds, and the bytes of one. */
async function closedLoop(subscribers: Child, round: () => void) {
  const times: number[] = [];
  const sizes: number[] = [];
  const firsts: number[] = [];
  for (let count = 0; count < ROUNDS; count++) {
    await subscribers.ask({ ask: "reset" });
    const began = performance.now();
    const beganAt = Date.now();
    round();
    const { bytes, firstAt } = await settle(subscribers);
    times.push((performance.now() - began - QUIET_MS) / 1_000);
    sizes.push(bytes);
    firsts.push(firstAt - beganAt);
  }
  return { times, bytes: median(sizes), firstMs: median(firsts) };
}

async function bareLoop(bytes: number): Promise<number[]> {
  const { child: bare, first } = await Child.start<{ url: string }>("bare-publish", []);
  const { child: subscribers } = await Child.start("subscribers", [first.url, "", String(SUBSCRIBERS)]);
  try {
    const { times } = await closedLoop(subscribers, () => bare.tell({ bytes }));
    return times;
  } finally {
    await subscribers.stop();
    await bare.stop();
  }
}

/** How long nothing more may arrive for a round to be over, in milliseconds. */
const QUIET_MS = 200;

/** Waits until nothing more arrives. Returns what has. */
async function settle(subscribers: Child): Promise<Progress> {
  let last = -1;
  let quietSince = performance.now();
  for (const deadline = performance.now() + ROUND_MS; performance.now() < deadline; await pause(10)) {
    const progress = await subscribers.ask<Progress>({ ask: "progress" });
    const { bytes } = progress;
    if (bytes !== last) quietSince = performance.now();
    else if (performance.now() - quietSince >= QUIET_MS && bytes >= 0) return progress;
    last = bytes;
  }
  throw new Error(`frames still arrived after ${ROUND_MS} ms`);
}
