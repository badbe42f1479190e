import { setTimeout as pause } from "node:timers/promises";
import { connect } from "../src/client/index.ts";
import { Child } from "./support/child.ts";
import { median, type Result } from "./support/results.ts";
import { spread } from "./support/rounds.ts";
import { cpuSeconds, memoryBytes, startBenchServer } from "./support/server.ts";

/** So many are made before the ones whose memory counts: a process takes some for the work, whatever it keeps. */
const EARLIER = 500;
const COUNTED = 300;
const STEPS = 3;
const AT_ONCE = 50;
/** Room for what is young, on both sides: with more of it, how much of it there happens to be would hide what is held. */
const YOUNG_MB = 1;
const IDLE_S = 2;
const SETTLE_MS = 1_000;
const READY_MS = 30_000;
/** Memory that an idle link may take, whatever a bare connection does: that is too little to compare with in one run. */
const MOST_KIB = 24;
/** Times the CPU of bare connections that idle links may take. */
const MOST_TIMES = 4;

/** Gateways with nothing to do: what their links take, beside as many bare connections. */
export async function links(): Promise<Result> {
  const { child: gateways, first } = await Child.start<{ url: string }>("idle-gateways", []);
  const server = await startBenchServer({ inspected: true, youngMb: YOUNG_MB });
  const owner = await connect({ url: server.url, token: server.token });
  let made = 0;
  const link = async (count: number) => {
    for (const end = made + count; made < end; made += AT_ONCE)
      await Promise.all(
        Array.from({ length: AT_ONCE }, (_, number) =>
          owner.request("gateway.create", {
            name: `Gateway ${made + number}`,
            kind: "openclaw",
            url: first.url,
            token: "secret",
            main_session_key: "agent:main:main",
            workspace_root: "/srv/agents",
          }),
        ),
      );
    for (const deadline = Date.now() + READY_MS; ; await pause(20)) {
      const { connected } = await gateways.ask<{ connected: number }>({});
      if (connected === made) break;
      if (Date.now() > deadline) throw new Error(`only ${connected} links are there`);
    }
  };
  try {
    const { child: bare } = await Child.start(
      "bare-links",
      [first.url],
      [`--max-semi-space-size=${YOUNG_MB}`],
    );
    const reference = await idleCosts(
      bare.pid,
      (count) => bare.ask({ count }),
      () => memoryBytes(bare.pid),
    );
    await bare.stop();
    const ours = await idleCosts(server.pid, link, server.restingBytes);
    const all = (EARLIER + STEPS * COUNTED).toLocaleString("en");
    const times = median(ours.shares) / median(reference.shares);
    return {
      name: "links",
      title: `${all} links to gateways that have nothing to do, beside bare connections of \`ws\``,
      rows: [
        {
          what: `resident memory of one after garbage collection, by ${STEPS} times ${COUNTED} beyond ${EARLIER.toLocaleString("en")}, the gateway itself included; medians (least–greatest)`,
          ours: `${spread(ours.kibibytes, 1)} KiB`,
          reference: `${spread(reference.kibibytes, 1)} KiB; at most ${MOST_KIB} KiB`,
          ratio: median(ours.kibibytes) / MOST_KIB,
          holds: median(ours.kibibytes) <= MOST_KIB,
        },
        {
          what: `CPU of all over ${IDLE_S} s, the rest of the server included, after each step`,
          ours: `${spread(ours.shares, 2)} % of a core`,
          reference: `${spread(reference.shares, 2)} % of a core; at most ${MOST_TIMES} times`,
          ratio: times,
          holds: times <= MOST_TIMES,
        },
        {
          what: `${COUNTED} gateways made and connected`,
          ours: `${spread(ours.seconds, 1)} s`,
          reference: `${spread(reference.seconds, 1)} s, only connected`,
          ratio: null,
          holds: true,
        },
      ],
    };
  } finally {
    await owner.close();
    await server.stop();
    await gateways.stop();
  }
}

/** What each step has cost. */
interface Costs {
  /** Memory of one connection. */
  kibibytes: number[];
  /** CPU of all that are there, in hundredths of a core. */
  shares: number[];
  /** To make those of the step. */
  seconds: number[];
}

/** What connections cost a process once they are there and nothing happens. */
async function idleCosts(
  pid: number,
  make: (count: number) => Promise<unknown>,
  memory: () => Promise<number>,
): Promise<Costs> {
  const costs: Costs = { kibibytes: [], shares: [], seconds: [] };
  await make(EARLIER);
  await pause(SETTLE_MS);
  let before = await memory();
  for (let step = 0; step < STEPS; step++) {
    const began = performance.now();
    await make(COUNTED);
    costs.seconds.push((performance.now() - began) / 1_000);
    await pause(SETTLE_MS);
    const after = await memory();
    costs.kibibytes.push((after - before) / COUNTED / 1_024);
    before = after;
    const used = await cpuSeconds(pid);
    await pause(IDLE_S * 1_000);
    costs.shares.push((((await cpuSeconds(pid)) - used) / IDLE_S) * 100);
  }
  return costs;
}
