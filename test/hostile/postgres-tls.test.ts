import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { closeDatabase, type Database, isUnavailable, openDatabase } from "../../src/store/database.ts";
import { until } from "../support/await.ts";
import { TestServer } from "../support/server.ts";
import { startTlsPostgres, withParameters } from "../support/tls-postgres.ts";

function open(t: TestContext, url: string, parameters: Record<string, string>): Database {
  const pool = openDatabase(withParameters(url, parameters), { maxConnections: 3 });
  t.after(() => closeDatabase(pool));
  return pool;
}

async function isEncrypted(pool: Database): Promise<boolean> {
  const [row] = await pool`select ssl from pg_stat_ssl where pid = pg_backend_pid()`;
  return row?.ssl;
}

const away = (error: unknown) => isUnavailable(error);

test("sslmode means what it means to psql", async (t) => {
  const postgres = await startTlsPostgres(t);
  const { url, certificate } = postgres;
  const asked = (parameters: Record<string, string>) => isEncrypted(open(t, url, parameters));
  const trusted = { sslrootcert: certificate };
  assert.deepEqual(
    {
      unsaid: await asked({}),
      disable: await asked({ sslmode: "disable" }),
      allow: await asked({ sslmode: "allow" }),
      prefer: await asked({ sslmode: "prefer" }),
      require: await asked({ sslmode: "require" }),
      "as a hoster writes it": await asked({
        sslmode: "require",
        channel_binding: "prefer",
        pgbouncer: "true",
      }),
      "as JDBC writes it": await asked({ ssl: "true" }),
      "verify-ca": await asked({ sslmode: "verify-ca", ...trusted }),
      "verify-full": await asked({ sslmode: "verify-full", ...trusted }),
    },
    {
      unsaid: true,
      disable: false,
      allow: false,
      prefer: true,
      require: true,
      "as a hoster writes it": true,
      "as JDBC writes it": true,
      "verify-ca": true,
      "verify-full": true,
    },
  );
  // Nobody vouches for it.
  for (const sslmode of ["verify-ca", "verify-full"]) await assert.rejects(asked({ sslmode }), away);
  // It is vouched for, but for another name.
  const byName = new URL(url);
  byName.hostname = "localhost";
  const named = (parameters: Record<string, string>) =>
    isEncrypted(open(t, byName.href, { ...trusted, ...parameters }));
  assert.equal(await named({ sslmode: "verify-ca" }), true);
  await assert.rejects(named({ sslmode: "verify-full" }), away);

  await postgres.admit("hostssl");
  assert.equal(await asked({ sslmode: "allow" }), true);
  assert.equal(await asked({ sslmode: "prefer" }), true);
  await assert.rejects(asked({ sslmode: "disable" }), away);
  await postgres.admit("hostnossl");
  assert.equal(await asked({ sslmode: "prefer" }), false);
  await assert.rejects(asked({ sslmode: "require" }), away);
});

test("a backend that ends inside a transaction over TLS fails that work and nothing else", async (t) => {
  const { url } = await startTlsPostgres(t);
  const pool = open(t, url, { sslmode: "require" });
  const admin = open(t, url, { sslmode: "require" });
  for (let round = 0; round < 10; round += 1) {
    const lost = pool.begin(async (transaction) => {
      const [row] = await transaction`select pg_backend_pid() as pid`;
      // What waits to be written when the connection ends, and what comes after it.
      const sleeping = transaction`select pg_sleep(60)`.catch(() => {});
      await admin`select pg_terminate_backend(${row?.pid})`;
      await sleeping;
      await transaction`select ${round}::int`.catch(() => {});
      await new Promise(setImmediate);
      await transaction`select 1`;
    });
    await assert.rejects(lost, away);
    assert.equal(await isEncrypted(pool), true);
  }
});

test("whatever is under way over TLS when Postgres goes ends, and all works again when it comes back", async (t) => {
  const postgres = await startTlsPostgres(t);
  const pool = open(t, postgres.url, { sslmode: "require" });
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
    ...Array.from({ length: 4 }, () => load(() => pool`select pg_sleep(0.002)`)),
    ...Array.from({ length: 3 }, () =>
      load(() =>
        pool.begin(async (transaction) => {
          await transaction`select pg_sleep(0.002)`.catch(() => {});
          await Promise.all([transaction`select ${1}::int`, transaction`select ${"x"}::text`]);
        }),
      ),
    ),
  ];
  for (let round = 0; round < 4; round += 1) {
    const before = done;
    await until(() => done > before + 20, { what: "work to be done" });
    await (round % 2 ? postgres.crash() : postgres.stop());
    await postgres.start();
  }
  const last = done;
  await until(() => done > last + 20, { what: "work to be done after the last return" });
  working = false;
  await Promise.all(loads);
  assert.deepEqual(unexpected, []);
});

test("a server whose Postgres speaks TLS outlives its backends and its Postgres", async (t) => {
  const postgres = await startTlsPostgres(t);
  const url = withParameters(postgres.url, { sslmode: "require" });
  const dataDir = await mkdtemp(join(tmpdir(), "muster-server-"));
  const server = new TestServer(url, dataDir, {}, {});
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  try {
    await server.start();
    server.organization = await server.addOrganization("Test");
    const owner = await server.wire();
    const { board } = await server.board(owner);
    let made = 0;
    let working = true;
    const making = (async () => {
      for (let number = 0; working; number += 1)
        await owner.call("agent.create", { name: `Agent ${number}`, board_id: board.id }).then(
          () => {
            made += 1;
          },
          (error: unknown) => assert.match(String(error), /away/),
        );
    })();
    const goesOn = async () => {
      const before = made;
      await until(() => made > before + 3, { what: "agents to be made" });
    };
    for (let round = 0; round < 5; round += 1) {
      await goesOn();
      await server.database`
        select pg_terminate_backend(pid) from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()`;
    }
    for (const end of [postgres.crash, postgres.stop]) {
      await goesOn();
      await end();
      await postgres.start();
    }
    await goesOn();
    working = false;
    await making;
    assert.equal((await owner.call("agent.list", { limit: 1 })).items.length, 1);
  } finally {
    // Before its Postgres, which ends with the test.
    await server.close();
  }
});
