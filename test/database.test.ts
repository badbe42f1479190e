import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { ARRAY_OF } from "../src/store/array-types.ts";
import { closeDatabase, type Database, isUnavailable, openDatabase } from "../src/store/database.ts";
import { type EmbeddedPostgres, startEmbedded } from "../src/store/embedded.ts";
import { until } from "./support/await.ts";
import { createTestDatabase, type TestDatabase } from "./support/postgres.ts";

let home: TestDatabase;
let database: Database;
before(async () => {
  home = await createTestDatabase();
  database = openDatabase(home.url);
});
after(async () => {
  await closeDatabase(database);
  await home.drop();
});

test("values come as they are meant: counts as numbers, days as text, instants as Dates", async () => {
  const [row] = await database`
    select 9007199254740991::int8 as count, '2024-02-29'::date as day, '2024-02-29T12:00:00Z'::timestamptz as instant,
      '{"a": [1]}'::jsonb as json`;
  assert.deepEqual(
    { ...row },
    {
      count: 9007199254740991,
      day: "2024-02-29",
      instant: new Date("2024-02-29T12:00:00Z"),
      json: { a: [1] },
    },
  );
});

test("lists go to Postgres and come back", async () => {
  const words = ["plain", "", 'quo"te', "back\\slash", "a,b", "{x}", "NULL", " ä ", "line\nbreak", null];
  const ids = ["6a0e9f0c-6b7e-4b5e-9d0a-0c5a1f6f3b11", null];
  const times = [new Date(0), new Date("2024-02-29T12:00:00.123Z")];
  const flags = [true, false];
  const [row] = await database`
    select ${words}::text[] as words, ${ids}::uuid[] as ids, ${[1, null, -3]}::int[] as ints, ${[]}::int8[] as none,
      ${[0.5, 1e300]}::float8[] as floats, ${[null, "\\xdeadbeef"]}::bytea[] as bytes,
      ${database.array(times, ARRAY_OF.timestamptz)} as times, ${database.array(flags, ARRAY_OF.bool)} as flags,
      ${['{"a": "b\\""}']}::text[]::jsonb[] as json`;
  assert.deepEqual(
    { ...row },
    {
      words,
      ids,
      ints: [1, null, -3],
      none: [],
      floats: [0.5, 1e300],
      bytes: [null, Buffer.from("deadbeef", "hex")],
      times,
      flags,
      json: [{ a: 'b"' }],
    },
  );
});

test("a refused statement says nothing of Postgres being away", async () => {
  await assert.rejects(
    async () => database`select 1 / 0`,
    (error) => !isUnavailable(error),
  );
  assert.equal(isUnavailable(new Error("something else")), false);
  assert.equal(isUnavailable(undefined), false);
});

async function ownPostgres(t: TestContext) {
  const dataDir = await mkdtemp(join(tmpdir(), "muster-database-"));
  const run = (port?: number) =>
    startEmbedded({ dataDir, onLog: () => {}, flags: ["-c", "fsync=off"], ...(port ? { port } : {}) });
  let current: EmbeddedPostgres = await run();
  t.after(async () => {
    await current.stop();
    await rm(dataDir, { recursive: true });
  });
  const { url } = current;
  return {
    url,
    stop: () => current.stop(),
    crash: async () => {
      process.kill(current.pid, "SIGQUIT");
      await current.stop();
    },
    start: async () => {
      current = await run(Number(new URL(url).port));
    },
  };
}

test("while Postgres is away every query fails at once, however many; the first one after its return succeeds", async (t) => {
  const server = await ownPostgres(t);
  const pool = openDatabase(server.url, { maxConnections: 3 });
  t.after(() => closeDatabase(pool));
  await pool`select 1`;
  await server.stop();
  const began = performance.now();
  const outcomes = await Promise.allSettled([
    ...Array.from({ length: 500 }, () => pool`select 1`),
    ...Array.from({ length: 100 }, () => pool.begin((transaction) => transaction`select 1`)),
  ]);
  for (const outcome of outcomes) {
    assert.equal(outcome.status, "rejected");
    assert.ok(outcome.status === "rejected" && isUnavailable(outcome.reason), String(outcome));
  }
  assert.ok(performance.now() - began < 1_500, "they were made to wait");
  await server.start();
  await pool`select 1`;
});

test("whatever is under way when Postgres goes ends, and the pool works again each time it comes back", async (t) => {
  const server = await ownPostgres(t);
  const pool = openDatabase(server.url, { maxConnections: 4 });
  t.after(() => closeDatabase(pool));
  let working = true;
  let done = 0;
  const unexpected: unknown[] = [];
  const load = async (work: () => Promise<unknown>) => {
    while (working)
      await work().then(
        () => {
          done += 1;
        },
        async (error: unknown) => {
          if (!isUnavailable(error)) unexpected.push(error);
          await new Promise(setImmediate);
        },
      );
  };
  const loads = [
    ...Array.from({ length: 6 }, () => load(() => pool`select pg_sleep(0.002)`)),
    ...Array.from({ length: 4 }, () =>
      load(() =>
        pool.begin(async (transaction) => {
          await transaction`select ${1}::int`;
          await Promise.all([transaction`select pg_sleep(0.002)`, transaction`select ${"x"}::text`]);
        }),
      ),
    ),
    // Goes on with its transaction although a statement of it has failed.
    load(() =>
      pool.begin(async (transaction) => {
        await transaction`select pg_sleep(0.002)`.catch(() => {});
        await new Promise(setImmediate);
        await transaction`select 1`;
      }),
    ),
  ];
  for (let round = 0; round < 6; round += 1) {
    const before = done;
    await until(() => done > before + 20, { what: "work to be done" });
    await (round % 2 ? server.crash() : server.stop());
    await server.start();
  }
  const last = done;
  await until(() => done > last + 20, { what: "work to be done after the last return" });
  working = false;
  await Promise.all(loads);
  assert.deepEqual(unexpected, []);
});

test("a connection that is cut while it is being made fails its query and nothing else", async (t) => {
  const { hostname, port } = new URL(home.url);
  let cut = true;
  const relay = createServer((near) => {
    const far = connect(Number(port), hostname);
    far.on("data", (bytes) => (cut ? near.destroy() : near.write(bytes)));
    near.on("data", (bytes) => far.write(bytes));
    near.on("error", () => {}).on("close", () => far.destroy());
    far.on("error", () => {}).on("close", () => near.destroy());
  }).listen(0, "127.0.0.1");
  await once(relay, "listening");
  t.after(() => relay.close());
  const address = relay.address();
  assert.ok(address !== null && typeof address === "object");
  const url = new URL(home.url);
  url.port = String(address.port);
  const pool = openDatabase(url.href);
  t.after(() => closeDatabase(pool));
  await assert.rejects(
    async () => pool`select 1`,
    (error) => isUnavailable(error),
  );
  cut = false;
  await pool`select 1`;
});

test("a closed database refuses what comes after", async () => {
  const pool = openDatabase(home.url);
  await pool`select 1`;
  await closeDatabase(pool);
  await closeDatabase(pool);
  await assert.rejects(
    async () => pool`select 1`,
    (error) => isUnavailable(error),
  );
});
