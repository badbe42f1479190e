import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import { type ActivityDraft, insertActivity, listActivity } from "../src/store/activity.ts";
import { dropOldActivity, makeActivityPartitions } from "../src/store/activity-partitions.ts";
import type { Place } from "../src/store/cursor.ts";
import { closeDatabase, openDatabase } from "../src/store/database.ts";
import { createTestDatabase } from "./support/postgres.ts";

const NOON = new Date("2024-02-28T12:00:00.000Z");
const DAY_MS = 86_400_000;
const after = (ms: number) => new Date(NOON.getTime() + ms);

async function stand(t: TestContext) {
  const { url, drop } = await createTestDatabase();
  const database = openDatabase(url, { maxConnections: 4 });
  t.after(async () => {
    await closeDatabase(database);
    await drop();
  });
  const organizationId = randomUUID();
  const entry = (type: string, at: Date): ActivityDraft => ({
    id: randomUUID(),
    type,
    message: type,
    organization_id: organizationId,
    board_id: null,
    agent_id: null,
    task_id: null,
    created_at: at,
  });
  const add = (type: string, at: Date) => insertActivity(database, [entry(type, at)]);
  /** Where each entry lies, by type. */
  const places = async () =>
    Object.fromEntries(
      (
        await database<{ type: string; place: string }[]>`
        select type, tableoid::regclass::text as place from activity order by type`
      ).map(({ type, place }) => [type, place]),
    );
  const list = async (page: { limit: number; cursor?: Place | undefined }, since?: Date) => {
    const { rows, nextCursor } = await listActivity(database, { organizationId, since }, page);
    return { types: rows.map(({ type }) => type), nextCursor };
  };
  return { database, entry, add, places, list };
}

test("days are made ahead, once, and each entry lies in its own: to the last millisecond", async (t) => {
  const { database, add, places } = await stand(t);
  const days = ["20240228", "20240229", "20240301", "20240302"].map((day) => `activity_${day}`);
  assert.deepEqual(await makeActivityPartitions(database, NOON), days);
  assert.deepEqual(await makeActivityPartitions(database, NOON), []);
  assert.deepEqual(await makeActivityPartitions(database, after(DAY_MS)), ["activity_20240303"]);
  await add("first", new Date("2024-02-29T00:00:00.000Z"));
  await add("last", new Date("2024-02-29T23:59:59.999Z"));
  await add("next", new Date("2024-03-01T00:00:00.000Z"));
  assert.deepEqual(await places(), {
    first: "activity_20240229",
    last: "activity_20240229",
    next: "activity_20240301",
  });
});

test("an entry that is added again stays as it is", async (t) => {
  const { database, entry } = await stand(t);
  await makeActivityPartitions(database, NOON);
  const [made, unmade] = [entry("made", NOON), entry("unmade", after(400 * DAY_MS))];
  await insertActivity(database, [made, unmade]);
  await insertActivity(database, [{ ...made, message: "other" }, entry("new", NOON), unmade]);
  const rows = await database`select type, message from activity order by seq`;
  assert.deepEqual(
    rows.map(({ type, message }) => `${type}: ${message}`),
    ["made: made", "unmade: unmade", "new: new"],
  );
});

test("entries of days that are not there are kept all the same; the rest of such a day can still be made", async (t) => {
  const { database, add, places, list } = await stand(t);
  await makeActivityPartitions(database, NOON);
  const jumped = new Date("2031-05-01T09:30:10.000Z");
  await add("ahead", jumped);
  await add("back", new Date("1970-01-01T00:00:01.000Z"));
  await add("now", NOON);
  assert.deepEqual(await makeActivityPartitions(database, jumped), [
    "activity_20310501",
    "activity_20310502",
    "activity_20310503",
    "activity_20310504",
  ]);
  await add("soon", new Date("2031-05-01T09:31:59.999Z"));
  await add("later", new Date("2031-05-01T09:32:00.000Z"));
  assert.deepEqual(await places(), {
    ahead: "activity_default",
    back: "activity_default",
    soon: "activity_default",
    now: "activity_20240228",
    later: "activity_20310501",
  });
  assert.deepEqual((await list({ limit: 10 })).types, ["later", "soon", "now", "back", "ahead"]);
  assert.deepEqual(await makeActivityPartitions(database, jumped), []);
});

test("a day whose last minutes have begun in the default partition is left there", async (t) => {
  const { database, add } = await stand(t);
  const late = new Date("2031-05-01T23:59:00.000Z");
  await add("late", late);
  assert.deepEqual(await makeActivityPartitions(database, late), [
    "activity_20310502",
    "activity_20310503",
    "activity_20310504",
  ]);
});

test("pages are in the order of arrival, across days, whichever way the clock went", async (t) => {
  const { database, add, list } = await stand(t);
  await makeActivityPartitions(database, NOON);
  const times = [0, 2 * DAY_MS, DAY_MS, -DAY_MS, 1_000, 3 * DAY_MS, 900 * DAY_MS];
  for (const [place, ms] of times.entries()) await add(`e${place}`, after(ms));
  const seen: string[] = [];
  let cursor: Place | undefined;
  do {
    const page = await list({ limit: 2, cursor });
    seen.push(...page.types);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  assert.deepEqual(seen, ["e6", "e5", "e4", "e3", "e2", "e1", "e0"]);
  assert.deepEqual((await list({ limit: 9 }, after(1_000))).types, ["e6", "e5", "e4", "e2", "e1"]);
});

test("days are dropped as a whole once all that is in them is too old, and not a moment earlier", async (t) => {
  const { database, add, places } = await stand(t);
  for (const days of [0, 1, 2]) {
    await makeActivityPartitions(database, after(days * DAY_MS));
    await add(`day ${days}`, after(days * DAY_MS));
  }
  const midnight = new Date("2024-02-29T00:00:00.000Z").getTime();
  const drop = (at: number) => dropOldActivity(database, new Date(at), 30 * DAY_MS);
  assert.deepEqual(await drop(midnight + 30 * DAY_MS - 1), []);
  assert.deepEqual(await drop(midnight + 30 * DAY_MS), ["activity_20240228"]);
  assert.deepEqual(Object.keys(await places()), ["day 1", "day 2"]);
  assert.deepEqual(await drop(midnight + 32 * DAY_MS), ["activity_20240229", "activity_20240301"]);
  assert.deepEqual(await places(), {});
});

test("the default partition is emptied once all that is in it is too old", async (t) => {
  const { database, add, places } = await stand(t);
  await add("older", after(-DAY_MS));
  await add("newer", after(DAY_MS));
  const drop = (ms: number) => dropOldActivity(database, after(ms), 10 * DAY_MS);
  assert.deepEqual(await drop(11 * DAY_MS), []);
  assert.deepEqual(Object.keys(await places()), ["newer", "older"]);
  assert.deepEqual(await drop(11 * DAY_MS + 1), ["activity_default"]);
  assert.deepEqual(await places(), {});
  assert.deepEqual(await drop(11 * DAY_MS + 1), []);
});

test("a clock that has run ahead of Postgres' does not cost the log", async (t) => {
  const { database, add, places } = await stand(t);
  const now = new Date();
  await makeActivityPartitions(database, now);
  await add("today", now);
  assert.deepEqual(await dropOldActivity(database, new Date(now.getTime() + 3_650 * DAY_MS), DAY_MS), []);
  assert.deepEqual(Object.keys(await places()), ["today"]);
});

test("entries are written and read while days are made", async (t) => {
  const { database, entry, list } = await stand(t);
  await makeActivityPartitions(database, NOON);
  await database.begin(async (transaction) => {
    await insertActivity(transaction, [entry("before", NOON)]);
    assert.deepEqual(await makeActivityPartitions(database, after(DAY_MS)), ["activity_20240303"]);
    await insertActivity(transaction, [entry("after", NOON)]);
  });
  assert.deepEqual((await list({ limit: 9 })).types, ["after", "before"]);
});

test("who holds the log for long is not waited for: making and dropping give up, and succeed later", async (t) => {
  const { database, add, list } = await stand(t);
  await makeActivityPartitions(database, NOON);
  await database.begin(async (reader) => {
    await reader`select count(*) from activity`;
    await assert.rejects(makeActivityPartitions(database, after(DAY_MS)), AggregateError);
    await assert.rejects(dropOldActivity(database, after(90 * DAY_MS), DAY_MS), /lock timeout/);
    await add("meanwhile", NOON);
    assert.deepEqual((await list({ limit: 9 })).types, ["meanwhile"]);
  });
  assert.deepEqual(await makeActivityPartitions(database, after(DAY_MS)), ["activity_20240303"]);
  assert.equal((await dropOldActivity(database, after(90 * DAY_MS), DAY_MS)).length, 5);
});

test("a day that cannot be made keeps no other from being made", async (t) => {
  const { database, add, places } = await stand(t);
  await database`create table activity_20240229 (id int)`;
  await assert.rejects(makeActivityPartitions(database, NOON), ({ errors }) => {
    assert.match(String(errors), /"activity_20240229" already exists/);
    return errors.length === 1;
  });
  await add("held", after(DAY_MS));
  await add("next", after(2 * DAY_MS));
  assert.deepEqual(await places(), { held: "activity_default", next: "activity_20240301" });
});
