import postgres from "postgres";
import { insertAgents } from "../test/support/fleet.ts";
import { openAgents } from "./support/agents-lanes.ts";
import { Child } from "./support/child.ts";
import { openLanes, socketIoBatch } from "./support/lanes.ts";
import { needPackage } from "./support/packages.ts";
import { groupWriter, transactionWriter, type Writer, writeFor } from "./support/reference-beats.ts";
import { startReferencePostgres } from "./support/reference-postgres.ts";
import { median, type Result, type Row } from "./support/results.ts";
import { type RoundOptions, round, spread } from "./support/rounds.ts";
import { cpuSeconds, startBenchServer } from "./support/server.ts";

const CHANNELS = 10_000;
const ROUNDS = 3;
const TIMES = { warmUpMs: 300, durationMs: 1_200 };
const POOL = 10;

type Name = "ours" | "groups" | "socketIo" | "transactions";
const NAMES = ["ours", "groups", "socketIo", "transactions"] as const satisfies Name[];

/**
 * Ten thousand agents on one socket, all of whom beat with one frame, which is sent again when the last is acknowledged. Ours
 * against what Postgres alone gives to the same rows, against Socket.IO with the same in one event and committed in groups,
 * and against a transaction per heartbeat; in turns.
 */
export async function manyChannels(): Promise<Result> {
  needPackage("socket.io");
  const closers: (() => Promise<unknown>)[] = [];
  try {
    const turns = await start(closers);
    const rates: Record<Name, number[]> = { ours: [], groups: [], socketIo: [], transactions: [] };
    for (let count = 0; count < ROUNDS; count++)
      for (const name of NAMES) rates[name].push(await turns[name]());
    return {
      name: "many-channels",
      title: `${CHANNELS.toLocaleString("en")} channels on one socket, durable acknowledgements`,
      rows: [
        compared("heartbeats/s, beside bare UPDATE … FROM unnest of the same rows", rates, "groups", 0.6),
        compared("the same, beside Socket.IO: one event for all, committed in groups", rates, "socketIo", 4),
        compared(
          "the same, beside a transaction per heartbeat (UPDATE, INSERT; pool of 10)",
          rates,
          "transactions",
          40,
        ),
      ],
    };
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

/** What each of them does in its turn, told in heartbeats a second. */
async function start(closers: (() => Promise<unknown>)[]): Promise<Record<Name, () => Promise<number>>> {
  let tokens: string[] = [];
  const server = await startBenchServer({
    fill: async (database, place) => {
      tokens = (await insertAgents(database, place, CHANNELS)).tokens;
    },
  });
  closers.push(server.stop);
  const ours = await openAgents(server.url, tokens, { sockets: 1, batch: true, codec: "msgpack" });
  closers.push(ours.close);
  const reference = await startReferencePostgres(CHANNELS);
  closers.push(reference.stop);
  const { child, first } = await Child.start<{ url: string }>("socket-io-server", [reference.url]);
  closers.push(() => child.stop());
  const socketIo = await openLanes(first.url, 1, socketIoBatch(CHANNELS), CHANNELS);
  closers.push(async () => socketIo.close());
  const single = postgres(reference.url, { max: 1 });
  closers.push(() => single.end());
  const pool = postgres(reference.url, { max: POOL });
  closers.push(() => pool.end());
  const ids = (await single<{ id: string }[]>`select id from agents order by no`).map(({ id }) => id);

  const beat = async (options: Pick<RoundOptions, "lanes" | "cpuSeconds">) =>
    (await round({ ...options, ...TIMES })).rate;
  const write = async (writer: Writer) => (await writeFor(writer, TIMES.durationMs)).rate;
  const group = groupWriter(single, CHANNELS);
  const transaction = transactionWriter(pool, ids);
  return {
    async ours() {
      const rate = await beat({ lanes: ours.lanes, cpuSeconds: server.cpuSeconds });
      ours.check();
      return rate;
    },
    groups: () => write(group),
    socketIo: () => beat({ lanes: socketIo.lanes, cpuSeconds: () => cpuSeconds(child.pid) }),
    transactions: () => write(transaction),
  };
}

/** Each round of ours is compared with the reference's of the same turn. */
function compared(what: string, rates: Record<Name, number[]>, name: Name, least: number): Row {
  const ratios = rates.ours.map((rate, turn) => rate / (rates[name][turn] ?? Number.NaN));
  const ratio = median(ratios);
  return {
    what: `${what}; median (least–greatest) of ${ROUNDS} rounds in turns`,
    ours: spread(rates.ours),
    reference: `${spread(rates[name])}; at least ${least}, was ${spread(ratios, 2)}`,
    ratio,
    holds: ratio >= least,
  };
}
