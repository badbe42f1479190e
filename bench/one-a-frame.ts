import { makeFleet } from "../src/cli/load/fleet.ts";
import type { Lane } from "../src/cli/load/lane.ts";
import { connect } from "../src/client/index.ts";
import { openAgents } from "./support/agents-lanes.ts";
import { Child } from "./support/child.ts";
import { ACKS, ECHO, openLanes, SOCKET_IO, type Speech } from "./support/lanes.ts";
import { needPackage } from "./support/packages.ts";
import { type ReferencePostgres, startReferencePostgres } from "./support/reference-postgres.ts";
import { median, type Result, type Row } from "./support/results.ts";
import { type Round, round, spread } from "./support/rounds.ts";
import { cpuSeconds, startBenchServer } from "./support/server.ts";

const SOCKETS = 1_000;
const ROUNDS = 3;
const HALF_ROUNDS = 5;
const HALF_TIMES = { warmUpMs: 500, durationMs: 2_000 };
/** Of ours and the bare echo: many short ones, as what is next door changes within seconds, and spoils a comparison. */
const PAIRS = 9;
const TIMES = { warmUpMs: 300, durationMs: 1_000 };
const COMMIT_INTERVAL_MS = 5;
/** Of a bare echo's rate. The other two are there to be compared with: what they can do is bound by sockets as ours is. */
const LEAST_OF_ECHO = 0.75;

/** Somebody who acknowledges heartbeats. */
interface Subject {
  lanes: readonly Lane[];
  cpuSeconds(): Promise<number>;
  /** Throws when something went wrong that lanes do not see. */
  check(): void;
  close(): Promise<void>;
}

type Name = "echo" | "ours" | "socketIo" | "transactions";

/**
 * One heartbeat a frame, each socket's next when its last is acknowledged. Ours against a bare echo of the same frames, against
 * Socket.IO that commits in groups as we do, and against a transaction per heartbeat; in turns, so that a noisy neighbour
 * meets all of them. Then the latency at half the greatest rate.
 */
export async function oneAFrame(): Promise<Result> {
  needPackage("socket.io");
  const opened: { close(): Promise<void> }[] = [];
  const keep = async <T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> => {
    const subject = await opening;
    opened.push(subject);
    return subject;
  };
  /** Closes those that were opened last, down to so many. */
  const closeTo = async (count: number) => {
    while (opened.length > count) await opened.pop()?.close();
  };
  try {
    const echo = await keep(other("echo-server", ECHO));
    const server = await keep(ours());
    const { database } = await keep(reference());
    const subjects: Record<Name, Subject> = {
      echo,
      ours: server,
      socketIo: await keep(other("socket-io-server", SOCKET_IO, database)),
      transactions: await keep(other("transaction-server", ACKS, database)),
    };
    const rounds: Record<Name, Round[]> = { echo: [], ours: [], socketIo: [], transactions: [] };
    const names: Name[] = ["echo", "ours", "socketIo", "transactions"];
    for (let count = 0; count < PAIRS; count++)
      for (const name of count < ROUNDS ? names : (["echo", "ours"] as const))
        rounds[name].push(await round({ ...subjects[name], ...TIMES }));
    subjects.ours.check();
    const greatest = median(rounds.ours.map(({ rate }) => rate));
    // What they leave behind, as dead rows to be collected, is not to be met here.
    await closeTo(2);
    const half: Record<"echo" | "ours", Round[]> = { echo: [], ours: [] };
    for (let count = 0; count < HALF_ROUNDS; count++)
      for (const name of ["echo", "ours"] as const)
        if (name === "ours" || count < ROUNDS)
          half[name].push(await round({ ...subjects[name], ...HALF_TIMES, rate: greatest / 2 }));
    subjects.ours.check();
    return {
      name: "one-a-frame",
      title: `One heartbeat a frame: ${SOCKETS.toLocaleString("en")} sockets, durable acknowledgements`,
      rows: [
        compared(
          "closed loop, heartbeats/s, beside a bare echo of the same frames",
          rounds,
          "echo",
          LEAST_OF_ECHO,
        ),
        compared("the same, beside Socket.IO that commits a group each 5 ms", rounds, "socketIo", 1),
        compared(
          "the same, beside a transaction per heartbeat (UPDATE, INSERT; pool of 10)",
          rounds,
          "transactions",
          1,
        ),
        latency(half.ours, half.echo),
      ],
    };
  } finally {
    await closeTo(0);
  }
}

/** Each round of ours is compared with the reference's of the same turn. */
function compared(what: string, rounds: Record<Name, Round[]>, name: Name, least: number): Row {
  const ratios = rounds[name].map(({ rate }, turn) => (rounds.ours[turn]?.rate ?? Number.NaN) / rate);
  const ratio = median(ratios);
  return {
    what: `${what}; median (least–greatest) of ${rounds[name].length} rounds in turns`,
    ours: told(rounds.ours),
    reference: `${told(rounds[name])}; at least ${least}, was ${spread(ratios, 2)}`,
    ratio,
    holds: ratio >= least,
  };
}

function told(rounds: readonly Round[]): string {
  const rates = rounds.map(({ rate }) => rate);
  const cpu = median(rounds.map(({ serverUs }) => serverUs));
  return `${spread(rates)}; server ${cpu.toFixed(cpu < 10 ? 1 : 0)} µs each`;
}

function latency(rounds: readonly Round[], echo: readonly Round[]): Row {
  const most = 4 * COMMIT_INTERVAL_MS;
  const p99s = rounds.map(({ p99 }) => p99);
  const rate = Math.round(median(rounds.map((each) => each.rate)));
  return {
    what: `open loop at half the greatest rate, ${rate.toLocaleString("en")} heartbeats/s: p99 from when one is due to its acknowledgement; median (least–greatest) of ${HALF_ROUNDS} rounds`,
    ours: `${spread(p99s, 1)} ms`,
    reference: `at most ${most} ms: 4 commit intervals; the bare echo, which commits nothing: ${spread(
      echo.map(({ p99 }) => p99),
      1,
    )} ms`,
    ratio: median(p99s) / most,
    holds: median(p99s) <= most,
  };
}

async function ours(): Promise<Subject> {
  const server = await startBenchServer();
  try {
    const owner = await connect({ url: server.url, token: server.token });
    const { tokens } = await makeFleet(owner, SOCKETS, new AbortController().signal).finally(() =>
      owner.close(),
    );
    const agents = await openAgents(server.url, tokens, { sockets: SOCKETS, batch: false, codec: "json" });
    return {
      lanes: agents.lanes,
      check: agents.check,
      cpuSeconds: server.cpuSeconds,
      async close() {
        await agents.close();
        await server.stop();
      },
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function reference(): Promise<{ database: ReferencePostgres; close(): Promise<void> }> {
  const database = await startReferencePostgres(SOCKETS);
  return { database, close: () => database.stop() };
}

async function other(name: string, speech: Speech, database?: ReferencePostgres): Promise<Subject> {
  const { child, first } = await Child.start<{ url: string }>(name, database ? [database.url] : []);
  const { lanes, close } = await openLanes(first.url, SOCKETS, speech).catch(async (error: unknown) => {
    await child.stop();
    throw error;
  });
  return {
    lanes,
    check: () => {},
    cpuSeconds: () => cpuSeconds(child.pid),
    async close() {
      close();
      await child.stop();
    },
  };
}
