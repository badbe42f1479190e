import { setTimeout as pause } from "node:timers/promises";
import { connect } from "../src/client/index.ts";
import { Child } from "./support/child.ts";
import type { Result } from "./support/results.ts";
import { cpuSeconds, memoryBytes, startBenchServer } from "./support/server.ts";

/** So many are made before the ones whose memory counts: a process takes some for the work, whatever it keeps. */
const EARLIER = 1_000;
const COUNTED = 1_000;
const AT_ONCE = 50;
/** Room for what is young, on both sides: with more of it, how much of it there happens to be would hide what is held. */
const YOUNG_MB = 1;
const IDLE_S = 10;
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
    const reference = await idleCost(
      bare.pid,
      (count) => bare.ask({ count }),
      () => memoryBytes(bare.pid),
    );
    await bare.stop();
    const ours = await idleCost(server.pid, link, server.restingBytes);
    const all = (EARLIER + COUNTED).toLocaleString("en");
    return {
      name: "links",
      title: `${all} links to gateways that have nothing to do, beside bare connections of \`ws\``,
      rows: [
        {
          what: `resident memory of one after garbage collection, by the second ${COUNTED.toLocaleString("en")}, the gateway itself included`,
          ours: kibibytes(ours),
          reference: `${kibibytes(reference)}; at most ${MOST_KIB} KiB`,
          ratio: ours.bytes / 1_024 / MOST_KIB,
          holds: ours.bytes / 1_024 <= MOST_KIB,
        },
        {
          what: `CPU of all over ${IDLE_S} s, the rest of the server included`,
          ours: cpu(ours),
          reference: `${cpu(reference)}; at most ${MOST_TIMES} times`,
          ratio: ours.share / reference.share,
          holds: ours.share <= MOST_TIMES * reference.share,
        },
        {
          what: `${COUNTED.toLocaleString("en")} gateways made and connected`,
          ours: `${ours.seconds.toFixed(1)} s`,
          reference: `${reference.seconds.toFixed(1)} s, only connected`,
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

interface Cost {
  /** Of one connection. */
  bytes: number;
  /** Of one core, for all. */
  share: number;
  /** To make those that count. */
  seconds: number;
}

const kibibytes = ({ bytes }: Cost) => `${(bytes / 1_024).toFixed(0)} KiB`;
const cpu = ({ share }: Cost) => `${(share * 100).toFixed(2)} % of a core`;

/** What connections cost a process once they are there and nothing happens. */
async function idleCost(
  pid: number,
  make: (count: number) => Promise<unknown>,
  memory: () => Promise<number>,
): Promise<Cost> {
  await make(EARLIER);
  await pause(SETTLE_MS);
  const before = await memory();
  const begin = performance.now();
  await make(COUNTED);
  const seconds = (performance.now() - begin) / 1_000;
  await pause(SETTLE_MS);
  const bytes = ((await memory()) - before) / COUNTED;
  const used = await cpuSeconds(pid);
  await pause(IDLE_S * 1_000);
  return { bytes, share: ((await cpuSeconds(pid)) - used) / IDLE_S, seconds };
}
