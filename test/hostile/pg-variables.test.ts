import assert from "node:assert/strict";
import { test } from "node:test";
import { Muster } from "../support/muster-process.ts";
import { createTestDatabase } from "../support/postgres.ts";

/** As somebody's shell may have them for a database that has nothing to do with this server. */
const OTHERS = {
  PGHOST: "elsewhere.invalid",
  PGHOSTADDR: "255.255.255.255",
  PGPORT: "1",
  PGUSER: "nobody",
  PGUSERNAME: "nobody",
  PGPASSWORD: "nothing",
  PGPASSFILE: "/nowhere",
  PGDATABASE: "none",
  PGDATA: "/nowhere",
  PGOPTIONS: "-c no_such_setting=1",
  PGSERVICE: "none",
  PGSERVICEFILE: "/nowhere",
  PGSSL: "verify-full",
  PGSSLMODE: "verify-full",
  PGSSLROOTCERT: "/nowhere",
  PGSSLNEGOTIATION: "direct",
  PGTARGETSESSIONATTRS: "standby",
  PGTARGET_SESSION_ATTRS: "standby",
  PGAPPNAME: "other",
  PGCLIENTENCODING: "LATIN1",
  PGTZ: "Nowhere/None",
  PGDATESTYLE: "German",
  PGMAX: "0",
  PGPREPARE: "",
  PGFETCH_TYPES: "true",
  PGCONNECT_TIMEOUT: "0.001",
  PGIDLE_TIMEOUT: "0.001",
  PGMAX_LIFETIME: "0.001",
  PGMAX_PIPELINE: "0",
  PGBACKOFF: "1000",
  PGDEBUG: "true",
  PG_COLOR: "always",
};

test("PG* variables that are meant for others do not touch the embedded Postgres", async (t) => {
  const muster = new Muster(t, ["serve", "--empty"], { PORT: "0", ...OTHERS });
  await muster.says(/look next/);
  muster.child.kill("SIGTERM");
  assert.equal((await muster.done()).code, 0);
});

test("PG* variables do not touch what DATABASE_URL says", async (t) => {
  const database = await createTestDatabase();
  t.after(() => database.drop());
  for (const PGTARGETSESSIONATTRS of ["standby", "nonsense"]) {
    const muster = new Muster(t, ["serve", "--empty"], {
      PORT: "0",
      DATABASE_URL: database.url,
      ...OTHERS,
      PGTARGETSESSIONATTRS,
    });
    await muster.says(/is ready on/);
    muster.child.kill("SIGTERM");
    assert.equal((await muster.done()).code, 0);
  }
});
