import { setTimeout as pause } from "node:timers/promises";
import { Fleet, insertAgents } from "../test/support/fleet.ts";
import { Wire } from "../test/support/wire.ts";
import { Beats } from "./support/beats.ts";
import { Child } from "./support/child.ts";
import { percentile, type Result } from "./support/results.ts";
import { startBenchServer } from "./support/server.ts";

const RETURNING = 100_000;
/** Others, who are online all the time: how many, how many of them beat with one message, how often each second. */
const STEADY = 1_000;
const A_MESSAGE = 50;
const BEATS_A_SECOND = 5;
const ALONE_S = 3;
const MOST_S = 15;
const MOST_OTHERS_MS = 1_000;
/** A storm that takes longer is stuck. */
const GIVEN_UP_S = 120;

type Seen = { online: number; lastAt: number; wrong: number };

/** An outage ends: a hundred thousand agents that were offline beat at once, and somebody watches. */
export async function storm(): Promise<Result> {
  let tokens: string[] = [];
  const server = await startBenchServer({
    fill: async (database, place) => {
      const count = RETURNING + STEADY;
      tokens = (await insertAgents(database, place, count, { status: "offline" })).tokens;
    },
  });
  const wire = await Wire.open({ url: server.url, codec: "msgpack" });
  const { child: hosts } = await Child.start("many-hosts", [server.url]);
  try {
    await wire.hello();
    const fleet = await Fleet.attach(wire, tokens.slice(RETURNING));
    fleet.beatAll();
    await fleet.acknowledged();
    await hosts.ask({ tokens: tokens.slice(0, RETURNING) });
    const { child: watcher } = await Child.start("online-watcher", [server.url, server.token]);
    const beats = new Beats(wire, fleet, A_MESSAGE);
    const rate = STEADY * BEATS_A_SECOND;
    const alone = await beats.steady(rate, pause(ALONE_S * 1_000));
    const before = await server.cpuSeconds();
    const beganAt = Date.now();
    const committed = hosts.ask<{ ms: number }>({});
    const pushed = allSeen(watcher);
    const beside = await beats.steady(rate, Promise.all([committed, pushed]));
    const { lastAt, online, wrong } = await pushed;
    const cpu = (await server.cpuSeconds()) - before;
    await watcher.stop();
    return resultOf({
      committedS: (await committed).ms / 1_000,
      pushedS: online === RETURNING + STEADY ? (lastAt - beganAt) / 1_000 : Number.POSITIVE_INFINITY,
      cpu,
      alone,
      beside,
      wrong,
    });
  } finally {
    wire.end();
    await hosts.stop();
    await server.stop();
  }
}

/** Waits until the watcher sees everyone online; what it has seen until then. */
async function allSeen(watcher: Child): Promise<Seen> {
  for (const deadline = performance.now() + GIVEN_UP_S * 1_000; ; await pause(100)) {
    const seen = await watcher.ask<Seen>({});
    if (seen.online === RETURNING + STEADY || performance.now() > deadline) return seen;
  }
}

function resultOf({
  committedS,
  pushedS,
  cpu,
  alone,
  beside,
  wrong,
}: {
  committedS: number;
  pushedS: number;
  cpu: number;
  alone: number[];
  beside: number[];
  wrong: number;
}): Result {
  const worst = Math.round(percentile(beside, 100));
  return {
    name: "storm",
    title: `Storm: ${RETURNING.toLocaleString("en")} agents turn from offline to online at once`,
    rows: [
      {
        what: `all committed and acknowledged (with ${cpu.toFixed(1)} s of CPU until all was pushed)`,
        ours: `${committedS.toFixed(1)} s`,
        reference: `at most ${MOST_S} s`,
        ratio: committedS / MOST_S,
        holds: committedS <= MOST_S,
      },
      {
        what: "all pushed to a watcher of all agents",
        ours: `${pushedS.toFixed(1)} s`,
        reference: `at most ${MOST_S} s`,
        ratio: pushedS / MOST_S,
        holds: pushedS <= MOST_S,
      },
      {
        what: "gaps in the watcher's stream, or resets",
        ours: String(wrong),
        reference: "0",
        ratio: null,
        holds: wrong === 0,
      },
      {
        what: `${STEADY.toLocaleString("en")} others, each ${BEATS_A_SECOND} heartbeats/s: slowest ack meanwhile`,
        ours: `${worst} ms (p99 ${Math.round(percentile(beside, 99))} ms)`,
        reference: `at most ${MOST_OTHERS_MS} ms; alone ${Math.round(percentile(alone, 100))} ms`,
        ratio: worst / MOST_OTHERS_MS,
        holds: worst <= MOST_OTHERS_MS,
      },
    ],
  };
}
