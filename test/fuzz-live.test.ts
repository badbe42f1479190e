import assert from "node:assert/strict";
import { test } from "node:test";
import { keepFirstPlaces, settle } from "./support/fuzz-checks.ts";
import { operate } from "./support/fuzz-operations.ts";
import { FuzzWorld } from "./support/fuzz-world.ts";
import { startTestServer } from "./support/server.ts";

/*
 * Random lives of agents, commands and watchers: in the end every view is what Postgres has, and every command was done
 * once. FUZZ_SEED=n runs that seed alone, FUZZ_SEEDS=n so many of them, FUZZ_BASE=n others.
 */
const OPERATIONS = 200;
/** Seeds that share a server, and run at the same time. */
const TOGETHER = 5;
const alone = process.env.FUZZ_SEED;
const base = Number(process.env.FUZZ_BASE ?? 1);
const count = Number(process.env.FUZZ_SEEDS ?? 20);
const seeds = alone === undefined ? Array.from({ length: count }, (_, i) => base + i) : [Number(alone)];

for (let start = 0; start < seeds.length; start += TOGETHER) {
  const group = seeds.slice(start, start + TOGETHER);
  test(`B11 B13 views never lie and commands are done once, seeds ${group.join(", ")}`, async (t) => {
    const server = await startTestServer(t, { environment: { MUSTER_HISTORY_CHANGES: "60" } });
    await keepFirstPlaces(server.database);
    let restarting: Promise<void> | undefined;
    const ground = {
      restart() {
        restarting ??= server.restart().finally(() => {
          restarting = undefined;
        });
        return restarting;
      },
    };
    const worlds: FuzzWorld[] = [];
    for (const seed of group) worlds.push(await FuzzWorld.open(seed, server));
    t.after(() => Promise.all(worlds.map((world) => world.close())));
    await Promise.all(worlds.map((world) => operate(world, ground, OPERATIONS)));
    await restarting;
    const found = await Promise.all(worlds.map(async (world) => ({ world, wrong: await settle(world) })));
    for (const { world, wrong } of found) {
      if (wrong.length === 0) continue;
      t.diagnostic(
        `seed ${world.seed} failed; alone: FUZZ_SEED=${world.seed} npx --no tsx test/run.ts fuzz-live`,
      );
      t.diagnostic(world.log.join(" "));
    }
    t.diagnostic(JSON.stringify(tallyOf(worlds)));
    assert.deepEqual(
      found.flatMap(({ world, wrong }) => wrong.slice(0, 10).map((what) => `seed ${world.seed}: ${what}`)),
      [],
    );
  });
}

/** What happened altogether: that it did is what makes the rest worth something. */
function tallyOf(worlds: FuzzWorld[]): Record<string, number> {
  const tally: Record<string, number> = {};
  for (const { happened } of worlds)
    for (const [what, times] of happened) tally[what] = (tally[what] ?? 0) + times;
  return tally;
}
