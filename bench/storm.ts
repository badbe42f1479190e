import { setTimeout as pause } from "node:timers/promises";
import { Fleet, insertAgents } from "../test/support/fleet.ts";
import { Wire } from "../test/support/wire.ts";
import { Beats } from "./support/beats.ts";
import { Child } from "./support/child.ts";
import { median, percentile, type Result } from "./support/results.ts";
import { spread } from "./support/rounds.ts";
import { startBenchServer } from "./support/server.ts";

const RETURNING = 100_000;
/** Others, who are online all the time: how many, how many of them beat with one message, how often each second. */
const STEADY = 1_000;
const A_MESSAGE = 50;
const BEATS_A_SECOND = 5;
const ROUNDS = 3;
const ALONE_S = 2;
const MOST_S = 15;
const MOST_OTHERS_MS = 1_000;
/** A storm that takes longer is stuck. */
const GIVEN_UP_S = 120;

interface Round {
  committedS: number;
  pushedS: number;
  cpuS: number;
  /** Of the others, in milliseconds. */
  worst: number;
  p99: number;
}

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
    const rounds: Round[] = [];
    for (let count = 0; count < ROUNDS; count++) {
      if (count > 0) await hosts.ask({ leave: true });
      await seen(watcher, STEADY);
      const before = await server.cpuSeconds();
      const beganAt = Date.now();
      const committed = hosts.ask<{ ms: number }>({});
      const pushed = seen(watcher, RETURNING + STEADY);
      const beside = await beats.steady(rate, Promise.all([committed, pushed]));
      rounds.push({
        committedS: (await committed).ms / 1_000,
        pushedS: ((await pushed).lastAt - beganAt) / 1_000,
        cpuS: (await server.cpuSeconds()) - before,
        worst: percentile(beside, 100),
        p99: percentile(beside, 99),
      });
    }
    const { wrong } = await watcher.ask<Seen>({});
    await watcher.stop();
    return resultOf(rounds, { alone: percentile(alone, 100), wrong });
  } finally {
    wire.end();
    await hosts.stop();
    await server.stop();
  }
}

/** Waits until the watcher sees so many online; what it has seen until then. */
async function seen(watcher: Child, online: number): Promise<Seen> {
  for (const deadline = performance.now() + GIVEN_UP_S * 1_000; ; await pause(100)) {
    const state = await watcher.ask<Seen>({});
    if (state.online === online) return state;
    if (performance.now() > deadline) throw new Error(`${state.online} are seen online instead of ${online}`);
  }
}

function resultOf(rounds: readonly Round[], { alone, wrong }: { alone: number; wrong: number }): Result {
  const each = (figure: (round: Round) => number) => rounds.map(figure);
  const [committedS, pushedS] = [each((round) => round.committedS), each((round) => round.pushedS)];
  const worst = each((round) => round.worst);
  return {
    name: "storm",
    title: `Storm: ${RETURNING.toLocaleString("en")} agents turn from offline to online at once; medians (least–greatest) of ${ROUNDS}`,
    rows: [
      {
        what: `all committed and acknowledged (with ${spread(
          each((round) => round.cpuS),
          1,
        )} s of CPU until all was pushed)`,
        ours: `${spread(committedS, 1)} s`,
        reference: `at most ${MOST_S} s`,
        ratio: median(committedS) / MOST_S,
        holds: median(committedS) <= MOST_S,
      },
      {
        what: "all pushed to a watcher of all agents",
        ours: `${spread(pushedS, 1)} s`,
        reference: `at most ${MOST_S} s`,
        ratio: median(pushedS) / MOST_S,
        holds: median(pushedS) <= MOST_S,
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
        ours: `${spread(worst)} ms (p99 ${spread(each((round) => round.p99))} ms)`,
        reference: `at most ${MOST_OTHERS_MS} ms; alone ${Math.round(alone)} ms`,
        ratio: median(worst) / MOST_OTHERS_MS,
        holds: median(worst) <= MOST_OTHERS_MS,
      },
    ],
  };
}
