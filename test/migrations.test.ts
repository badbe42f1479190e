import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { closeDatabase, type Database, openDatabase } from "../src/store/database.ts";
import { DatabaseTooNewError, migrate } from "../src/store/migrations.ts";
import { until } from "./support/await.ts";
import { createTestDatabase, type TestDatabase } from "./support/postgres.ts";

let home: TestDatabase;
let database: Database;
let folder: string;

before(async () => {
  home = await createTestDatabase();
  database = openDatabase(home.url);
});
after(async () => {
  await closeDatabase(database);
  await home.drop();
});

// Each test migrates a schema of its own choosing, from nothing.
beforeEach(async (t) => {
  await database.unsafe("drop schema public cascade; create schema public");
  folder = await mkdtemp(join(tmpdir(), "muster-sql-"));
  if ("after" in t) t.after(() => rm(folder, { recursive: true }));
});

const write = (name: string, text: string) => writeFile(join(folder, name), text);
const tables = async () =>
  (
    await database<{ name: string }[]>`
      select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'muster_migrations'
      order by 1`
  ).map(({ name }) => name);
const recorded = async () =>
  (await database<{ number: number }[]>`select number from muster_migrations order by number`).map(
    ({ number }) => number,
  );

test("migrations are applied in order, and only once", async () => {
  await write("0002_more.sql", "alter table first add column more int; create table second (id int)");
  await write("0001_start.sql", "create table first (id int)");
  assert.deepEqual(await migrate(database, folder), [1, 2]);
  assert.deepEqual(await tables(), ["first", "second"]);
  assert.deepEqual(await migrate(database, folder), []);
  await write("0003_last.sql", "create table third (id int)");
  assert.deepEqual(await migrate(database, folder), [3]);
  assert.deepEqual(await recorded(), [1, 2, 3]);
});

test("the project's own migrations apply to an empty database", async () => {
  const applied = await migrate(database);
  assert.equal(applied[0], 1);
  assert.ok((await tables()).includes("agents"));
});

test("of several that migrate at once, one applies and the others wait for it", async () => {
  await write("0001_start.sql", "create table first (id int)");
  const elsewhere = openDatabase(home.url);
  try {
    // Whoever gets the lock first is held up at a table that does not yet come free.
    await database.unsafe("create table gate (id int)");
    await write("0002_gate.sql", "lock table gate; create table second (id int)");
    const outcomes = await database.begin(async (holder) => {
      await holder`lock table gate`;
      const running = [database, elsewhere, elsewhere].map((each) => migrate(each, folder));
      await until(
        async () => {
          const [waiting] = await holder<{ count: number }[]>`
            select count(*) from pg_locks where not granted
              and database = (select oid from pg_database where datname = current_database())`;
          return waiting?.count === 3;
        },
        { what: "one to wait for the table and two for the lock" },
      );
      return { running };
    });
    const applied = await Promise.all(outcomes.running);
    assert.deepEqual(applied.map((numbers) => numbers.length).sort(), [0, 0, 2]);
    assert.deepEqual(await recorded(), [1, 2]);
  } finally {
    await closeDatabase(elsewhere);
  }
});

test("a failing migration is undone alone, named by Postgres, and can be repaired", async () => {
  await write("0001_start.sql", "create table first (id int)");
  await write("0002_bad.sql", "create table second (id int); select nonsense");
  await assert.rejects(migrate(database, folder), /nonsense/);
  assert.deepEqual(await tables(), ["first"]);
  assert.deepEqual(await recorded(), [1]);
  await write("0002_bad.sql", "create table second (id int)");
  assert.deepEqual(await migrate(database, folder), [2]);
});

test("a failed migration gives the lock back", async () => {
  await write("0001_bad.sql", "select nonsense");
  await assert.rejects(migrate(database, folder));
  const [held] = await database<{ count: number }[]>`
    select count(*) from pg_locks where locktype = 'advisory'
      and database = (select oid from pg_database where datname = current_database())`;
  assert.equal(held?.count, 0);
});

test("a database that is newer than the program is refused, and left as it is", async () => {
  await write("0001_start.sql", "create table first (id int)");
  await migrate(database, folder);
  await database`insert into muster_migrations (number, name) values (7, 'from_the_future')`;
  await write("0002_more.sql", "create table second (id int)");
  await assert.rejects(migrate(database, folder), (error) => {
    assert.ok(error instanceof DatabaseTooNewError);
    assert.match(error.message, /up to 2\b.*\b7 \(from_the_future\).*later/);
    return true;
  });
  assert.deepEqual(await tables(), ["first"]);
});

test("gaps, repeated numbers and strange names among the files are errors", async (t) => {
  const cases: [string[], RegExp][] = [
    [["0001_a.sql", "0003_c.sql"], /number 2 is missing/],
    [["0002_b.sql"], /number 1 is missing/],
    [["0001_a.sql", "0001_b.sql"], /number 1 is there twice/],
    [["1_a.sql"], /NNNN_name\.sql/],
  ];
  for (const [names, message] of cases) {
    const place = await mkdtemp(join(tmpdir(), "muster-sql-"));
    t.after(() => rm(place, { recursive: true }));
    for (const name of names) await writeFile(join(place, name), "select 1");
    await assert.rejects(migrate(database, place), message);
  }
});
