import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { packageRoot } from "../src/package-root.ts";
import { insertActivity, listActivity } from "../src/store/activity.ts";
import { dropOldActivity, makeActivityPartitions } from "../src/store/activity-partitions.ts";
import { closeDatabase, openDatabase } from "../src/store/database.ts";
import { migrate } from "../src/store/migrations.ts";
import { insertOrganization } from "../src/store/organizations.ts";
import { createTestDatabase } from "./support/postgres.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** A database as it was before the log was parted, with an organization. */
async function stand(t: TestContext) {
  const { url, drop } = await createTestDatabase();
  const database = openDatabase(url);
  const folder = await mkdtemp(join(tmpdir(), "muster-sql-"));
  t.after(async () => {
    await closeDatabase(database);
    await drop();
    await rm(folder, { recursive: true });
  });
  const files = (await readdir(join(packageRoot, "sql"))).filter((name) => name < "0005");
  for (const name of files) await cp(join(packageRoot, "sql", name), join(folder, name));
  await database.unsafe("drop schema public cascade; create schema public");
  await migrate(database, folder);
  const organizationId = randomUUID();
  const now = new Date();
  await insertOrganization(database, {
    organization: { id: organizationId, name: "Old" },
    owner: { id: randomUUID(), name: "Owner" },
    at: now,
  });
  const agentId = randomUUID();
  const entry = (type: string, at: Date) => ({
    id: randomUUID(),
    type,
    message: `It was ${type}`,
    organization_id: organizationId,
    board_id: null,
    agent_id: agentId,
    task_id: null,
    created_at: at,
  });
  const places = async () =>
    (
      await database<{ type: string; place: string }[]>`
        select type, tableoid::regclass::text as place from activity order by seq`
    ).map(({ type, place }) => `${type}: ${place}`);
  return { database, organizationId, agentId, now, entry, places };
}

test("a log from before it was parted keeps its entries, and their order, and goes on", async (t) => {
  const { database, organizationId, agentId, now, entry, places } = await stand(t);
  const at = (ms: number) => new Date(now.getTime() + ms);
  const before = [entry("older", at(-100 * DAY_MS)), entry("newer", now), entry("ahead", at(800 * DAY_MS))];
  for (const { created_at, ...event } of before)
    await database`insert into activity ${database({ ...event, created_at })}`;
  const told = await database`select * from activity order by seq`;

  await migrate(database);
  assert.deepEqual(await database`select * from activity order by seq`, told);
  assert.deepEqual(await places(), [
    "older: activity_early",
    "newer: activity_early",
    "ahead: activity_default",
  ]);

  const made = await makeActivityPartitions(database, now);
  assert.ok(made.length >= 3, "the days after today are made beside it");
  await insertActivity(database, [...before.slice(1), entry("today", now), entry("tomorrow", at(DAY_MS))]);
  const page = await listActivity(database, { organizationId, agentId }, { limit: 9 });
  assert.deepEqual(
    page.rows.map(({ type }) => type),
    ["tomorrow", "today", "ahead", "newer", "older"],
  );
  assert.deepEqual((await places()).slice(3), ["today: activity_early", `tomorrow: ${made[0]}`]);
});

test("what was there goes as a whole when its last day is too old", async (t) => {
  const { database, now, entry, places } = await stand(t);
  await database`insert into activity ${database(entry("old", new Date(now.getTime() - 9 * DAY_MS)))}`;
  await migrate(database);
  assert.deepEqual(await dropOldActivity(database, now, 1), []);
  assert.deepEqual(await places(), ["old: activity_early"]);
  // Its last day is the one on which it was parted: as if that had been three days ago.
  await database.unsafe(`
    alter table activity detach partition activity_early;
    alter table activity attach partition activity_early for values
      from ('${new Date(now.getTime() - 20 * DAY_MS).toISOString()}') to ('${new Date(now.getTime() - 3 * DAY_MS).toISOString()}')`);
  assert.deepEqual(await dropOldActivity(database, now, 2 * DAY_MS), ["activity_early"]);
  assert.deepEqual(await places(), []);
});

test("an empty log leaves nothing of the old table", async (t) => {
  const { database, now } = await stand(t);
  await migrate(database);
  const [row] = await database`select to_regclass('activity_early') as early`;
  assert.equal(row?.early, null);
  assert.equal((await makeActivityPartitions(database, now)).length, 4);
});
