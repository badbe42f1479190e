import { readAllResting } from "../src/store/agents.ts";
import type { Database } from "../src/store/database.ts";
import { insertAgents } from "../test/support/fleet.ts";
import { openAgents } from "./support/agents-lanes.ts";
import { Child } from "./support/child.ts";
import { median, type Result } from "./support/results.ts";
import { type Round, round, spread } from "./support/rounds.ts";
import { startBenchServer } from "./support/server.ts";

const MANY = 1_000_000;
const FEW = 1_000;
/** Agents that beat on either server, a message each: all of the few, and as many spread over the many. */
const BEATING = 1_000;
const BATCHES = 100;
const SOCKETS = 100;
const ROUNDS = 3;
const STARTS = 3;
const TIMES = { warmUpMs: 300, durationMs: 1_500, rate: 10_000 };
const INTERPRETERS = 20_000;

const MOST_TIMES = 1.25;
const MOST_BYTES = 700;
const MOST_START_S = 20;

/** What a million registered agents cost: a heartbeat among them, the memory of one at rest, and the start. */
export async function million(): Promise<Result> {
  const closers: (() => Promise<unknown>)[] = [];
  try {
    const few = await registered(FEW);
    closers.push(() => few.server.stop());
    const many = await registered(MANY);
    closers.push(() => many.server.stop());
    const starts: number[] = [];
    const bytes: number[] = [];
    for (let count = 0; count < STARTS; count++) {
      if (count > 0) for (const one of [few, many]) one.server = await one.server.restart();
      starts.push(many.server.startedInMs / 1_000);
      bytes.push(((await many.server.restingBytes()) - (await few.server.restingBytes())) / (MANY - FEW));
    }
    const { child: interpreters, first } = await Child.start<{ bytes: number }>("actors-server", [
      String(INTERPRETERS),
    ]);
    await interpreters.stop();

    const open = ({ server, tokens }: Registered) =>
      openAgents(server.url, tokens, { sockets: SOCKETS, batch: false, codec: "json" });
    const amongFew = await open(few);
    closers.push(amongFew.close);
    const amongMany = await open(many);
    closers.push(amongMany.close);
    const rounds: { few: Round[]; many: Round[] } = { few: [], many: [] };
    for (let count = 0; count < ROUNDS; count++) {
      rounds.few.push(await round({ ...few.server, ...amongFew, ...TIMES }));
      rounds.many.push(await round({ ...many.server, ...amongMany, ...TIMES }));
    }
    amongFew.check();
    amongMany.check();
    const costs = (of: readonly Round[]) => of.map(({ serverUs }) => serverUs);
    const ratios = rounds.many.map(({ serverUs }, turn) => serverUs / (rounds.few[turn]?.serverUs ?? 0));
    const times = median(ratios);
    return {
      name: "million",
      title: `${MANY.toLocaleString("en")} registered agents`,
      rows: [
        {
          what: `CPU of the server for a heartbeat, of ${TIMES.rate.toLocaleString("en")}/s, a frame each; median (least–greatest) of ${ROUNDS} rounds in turns`,
          ours: `${spread(costs(rounds.many), 1)} µs`,
          reference: `${spread(costs(rounds.few), 1)} µs with ${FEW.toLocaleString("en")}; at most ${MOST_TIMES} times, was ${spread(ratios, 2)}`,
          ratio: times,
          holds: times <= MOST_TIMES,
        },
        {
          what: `resident memory of one at rest, after garbage collection; median (least–greatest) of ${STARTS} starts`,
          ours: `${spread(bytes)} bytes`,
          reference: `at most ${MOST_BYTES} bytes; an XState interpreter each: ${Math.round(first.bytes).toLocaleString("en")} bytes`,
          ratio: median(bytes) / MOST_BYTES,
          holds: median(bytes) <= MOST_BYTES,
        },
        {
          what: `start of the process, embedded Postgres included, until /readyz; median (least–greatest) of ${STARTS} starts`,
          ours: `${spread(starts, 1)} s`,
          reference: `at most ${MOST_START_S} s; reading the same rows with \`postgres\`: ${(many.readMs / 1_000).toFixed(1)} s`,
          ratio: median(starts) / MOST_START_S,
          holds: median(starts) <= MOST_START_S,
        },
      ],
    };
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

type Registered = Awaited<ReturnType<typeof registered>>;

/** A server with so many agents, some of which can connect. */
async function registered(count: number) {
  const tokens: string[] = [];
  let readMs = 0;
  const server = await startBenchServer({
    inspected: true,
    fill: async (database, place) => {
      await withoutIndexes(database, async () => {
        for (let batch = 0; batch < BATCHES; batch++)
          tokens.push(
            ...(await insertAgents(database, place, count / BATCHES, { tokens: BEATING / BATCHES })).tokens,
          );
      });
      const began = performance.now();
      await readAllResting(database, () => {});
      readMs = performance.now() - began;
    },
  });
  return { server, tokens, readMs };
}

/** Fills the table of agents without looking references up and keeping indexes row by row, which is most of the time. */
async function withoutIndexes(database: Database, fill: () => Promise<void>): Promise<void> {
  const indexes = await database<{ name: string; definition: string }[]>`
    select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
    from pg_index i
    where i.indrelid = 'agents'::regclass and not exists (select from pg_constraint where conindid = i.indexrelid)`;
  for (const { name } of indexes) await database`drop index ${database(name)}`;
  await database`set session_replication_role = replica`;
  await fill();
  await database`set session_replication_role = origin`;
  for (const { definition } of indexes) await database.unsafe(definition);
}
