import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type DatabaseAddress, DatabaseUrlError, parseDatabaseUrl } from "../../src/database-url.ts";
import { folder, Muster, run } from "../support/muster-process.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { seeded } from "../support/seeded.ts";
import { SELF_SIGNED } from "../support/self-signed.ts";
import { withParameters } from "../support/tls-postgres.ts";

const PLAIN: DatabaseAddress = {
  host: "db.example.com",
  port: 5432,
  user: "app",
  password: "hush",
  database: "fleet",
  tls: { mode: "prefer", ca: undefined },
  settings: {},
  unused: [],
};

function read(url: string, environment: Record<string, string> = {}): DatabaseAddress {
  return parseDatabaseUrl(url, environment);
}

test("a database's URL is read as libpq reads it", (t) => {
  const certificate = certificateFile(t);
  const cases: [string, Partial<DatabaseAddress>][] = [
    ["postgres://app:hush@db.example.com/fleet", {}],
    ["postgresql://app:hush@db.example.com:6432/fleet", { port: 6432 }],
    ["postgres://app:hush@db.example.com:/fleet\n", {}],
    ["postgres://app:hush@127.0.0.1/fleet", { host: "127.0.0.1" }],
    ["postgres://app:hush@my_db/fleet", { host: "my_db" }],
    ["postgres://app:@db.example.com/fleet", { password: "" }],
    ["postgres://app:hush@db.example.com", { database: "app" }],
    ["postgres://app:hush@db.example.com/", { database: "app" }],
    [
      "postgres://a%40b:h%2F%3F%23%40%3A%25@db.example.com/f%20l",
      { user: "a@b", password: "h/?#@:%", database: "f l" },
    ],
    ["postgres://app@server:hush@db.example.com/fleet", { user: "app@server" }],
    ["postgres://app:hu@sh@db.example.com/fleet", { password: "hu@sh" }],
    ["postgres://app:hu:sh@db.example.com/fleet", { password: "hu:sh" }],
    ["postgres://app:hush@db.example.com/fleet?sslmode=disable", { tls: { mode: "disable", ca: undefined } }],
    ["postgres://app:hush@db.example.com/fleet?ssl=true", { tls: { mode: "require", ca: undefined } }],
    [
      "postgres://app:hush@db.example.com/fleet?sslmode=no-verify",
      { tls: { mode: "require", ca: undefined } },
    ],
    [
      "postgres://app:hush@db.example.com/fleet?sslmode=verify-full&sslrootcert=system",
      { tls: { mode: "verify-full", ca: undefined } },
    ],
    [
      `postgres://app:hush@db.example.com/fleet?sslmode=require&sslrootcert=${encodeURIComponent(certificate)}`,
      { tls: { mode: "verify-ca", ca: SELF_SIGNED.cert } },
    ],
    [
      "postgres://app:hush@db.example.com/fleet?sslmode=require&channel_binding=require&options=endpoint%3Dcool&pgbouncer=true",
      {
        tls: { mode: "require", ca: undefined },
        settings: { options: "endpoint=cool" },
        unused: ["channel_binding", "pgbouncer"],
      },
    ],
  ];
  for (const [url, expected] of cases) assert.deepEqual(read(url), { ...PLAIN, ...expected }, url);
});

test("what the URL leaves out comes from PGUSER, PGPASSWORD and PGDATABASE, and what it says nothing overrides", () => {
  const environment = {
    PGHOST: "elsewhere",
    PGPORT: "1",
    PGSSL: "verify-full",
    PGUSER: "other",
    PGPASSWORD: "secret",
    PGDATABASE: "theirs",
  };
  assert.deepEqual(read("postgres://app:hush@db.example.com/fleet", environment), PLAIN);
  assert.deepEqual(read("postgres://db.example.com", environment), {
    ...PLAIN,
    user: "other",
    password: "secret",
    database: "theirs",
  });
  assert.equal(read("postgres://app:@db.example.com/fleet", environment).password, "");
});

/** URLs that can never be used, and what is said of each. */
function unusable(t: TestContext): [string, RegExp][] {
  const missing = encodeURIComponent(join(folder(t), "none.crt"));
  const noCertificate = join(folder(t), "empty.crt");
  writeFileSync(noCertificate, "");
  return [
    ["mysql://app:hush@db/fleet", /postgres:\/\//],
    ["app:hush@db", /postgres:\/\//],
    ["postgres://", /no host/],
    ["postgres:///fleet", /no host/],
    ["postgres://app:hush@/fleet", /no host/],
    ["postgres://app:hush@:5432/fleet", /no host/],
    ["postgres://app:hush@[::1]:5432/fleet", /IPv6/],
    ["postgres://app:hush@[fe80::1%25eth0]/fleet", /IPv6/],
    ["postgres://app:hush@::1/fleet", /IPv6/],
    ["postgres://app:hush@%2Fvar%2Frun%2Fpostgresql/fleet", /unix socket/],
    ["postgres://app:hush@/fleet?host=/var/run/postgresql", /unix socket/],
    ["postgres://app:hush@db/fleet?host=/var/run/postgresql", /unix socket/],
    ["postgres://app:hush@db/fleet?host=other", /host as a parameter/],
    ["postgres://app:hush@one,two/fleet", /several hosts/],
    ["postgres://app:hush@one:5432,two:5433/fleet", /several hosts/],
    ["postgres://app:hush@[::1],[::2]/fleet", /several hosts/],
    ["postgres://app:hush@db:0/fleet", /port/],
    ["postgres://app:hush@db:65536/fleet", /port/],
    ["postgres://app:hush@db:54x2/fleet", /port/],
    ["postgres://app:hush@db:-1/fleet", /port/],
    ["postgres://app:hu/sh@db/fleet", /%2F/],
    ["postgres://app:12/hush@db/fleet", /%2F/],
    ["postgres://app:hu#sh@db/fleet", /%23/],
    ["postgres://app:hu?sh@db/fleet", /%3F/],
    ["postgres://app:hush%@db/fleet", /%25/],
    ["postgres://app:hush%zz@db/fleet", /%25/],
    ["postgres://app:hush%ff@db/fleet", /password/],
    ["postgres://app%00x:hush@db/fleet", /user/],
    ["postgres://app:hush@db/fleet%00x", /database/],
    ["postgres://app:hush@d b/fleet", /host/],
    ["postgres://app:hush@db%00/fleet", /host/],
    [`postgres://app:hush@${"d".repeat(256)}/fleet`, /host/],
    ["postgres://app:hush@db/fleet?sslmode=sometimes", /sslmode.*verify-full/],
    ["postgres://app:hush@db/fleet?sslmode=", /sslmode.*verify-full/],
    ["postgres://app:hush@db/fleet?sslmode=constructor", /sslmode.*verify-full/],
    ["postgres://app:hush@db/fleet?ssl=perhaps", /ssl.*verify-full/],
    [`postgres://app:hush@db/fleet?sslrootcert=${missing}`, /sslrootcert/],
    [`postgres://app:hush@db/fleet?sslrootcert=${encodeURIComponent(noCertificate)}`, /sslrootcert/],
    ["postgres://app:hush@db/fleet?options=a%00b", /options/],
  ];
}

test("a URL that can never be used is refused by name, without its password", (t) => {
  for (const [url, words] of unusable(t))
    assert.throws(
      () => read(url),
      (error) => {
        assert.ok(error instanceof DatabaseUrlError, `${url}: ${error}`);
        assert.match(error.message, words, url);
        assert.doesNotMatch(error.message, /hush/, url);
        return true;
      },
      url,
    );
});

test("whatever a URL holds, it is read or refused, and its password is never told", (t) => {
  const random = seeded(t);
  const pick = (from: readonly string[]) => from[Math.floor(random() * from.length)] ?? "";
  const PARTS = [
    ...":/?#@[]%,&=+ \0\n\ud800é",
    "%2F",
    "%00",
    "%ff",
    "sslmode=",
    "host=",
    "5432",
    "db",
    "hush",
    "::1",
  ];
  for (let round = 0; round < 5_000; round += 1) {
    let tail = "";
    for (let count = Math.floor(random() * 8); count > 0; count -= 1) tail += pick(PARTS);
    const url =
      pick(["postgres://", "postgres://app:hush@", "postgres://app:hush", "postgres://app:hush@db/"]) + tail;
    try {
      const { host, port, user, password, database } = read(url);
      assert.ok(port >= 1 && port <= 65_535 && host !== "", url);
      assert.doesNotMatch(`${host}${user}${password}${database}`, /\0/, url);
    } catch (error) {
      if (!(error instanceof DatabaseUrlError)) throw error;
      assert.doesNotMatch(error.message, /hush/, url);
    }
  }
});

test("such a URL stops the start with exit code 2, in one sentence that names the variable", async (t) => {
  const some = /IPv6|unix|several|no port|no host|%25|sslmode=sometimes/;
  const chosen = unusable(t).filter(([url, words]) => some.test(`${url} ${words.source}`));
  for (const [url, words] of chosen.filter((_, index) => index % 3 === 0)) {
    const { code, out, err } = await run(t, ["serve"], { PORT: "0", DATABASE_URL: url });
    assert.deepEqual([url, code, out], [url, 2, ""], err);
    assert.match(err, /^error: DATABASE_URL[^\n]+\n$/, url);
    assert.match(err, words, url);
    assert.doesNotMatch(err, /hush|\.[jt]s:\d+/, url);
  }
});

test("a URL as hosters write it starts, and what nothing is done with is told", async (t) => {
  const database = await createTestDatabase();
  t.after(() => database.drop());
  const muster = new Muster(t, ["serve", "--empty"], {
    PORT: "0",
    DATABASE_URL: withParameters(database.url, {
      sslmode: "prefer",
      channel_binding: "prefer",
      target_session_attrs: "standby",
    }),
  });
  await muster.says(/look next/);
  muster.child.kill("SIGTERM");
  const { code, out, err } = await muster.done();
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /channel_binding/);
});

function certificateFile(t: TestContext): string {
  const path = join(folder(t), "trusted.crt");
  writeFileSync(path, SELF_SIGNED.cert);
  return path;
}
