import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { MusterError } from "../src/protocol/errors.ts";
import { fakeServer, type Handler, ID } from "./support/fake-server.ts";
import { folder, Muster, run } from "./support/muster-process.ts";
import { createTestDatabase } from "./support/postgres.ts";

async function start(t: TestContext, handlers: Record<string, Handler>) {
  const server = await fakeServer(handlers);
  t.after(() => server.close());
  return { server, environment: { MUSTER_URL: server.url, MUSTER_TOKEN: "t" } };
}

const TOKEN_ID = "0123456789abcdef01234567";
const page = {
  items: [
    { id: TOKEN_ID, name: "ci", user_id: ID, created_at: "2026-01-01T00:00:00.000Z", expires_at: null },
  ],
  total: 1,
  next_cursor: null,
};

test("token list shows an id whole, as token delete takes it", async (t) => {
  const { environment } = await start(t, { "user_token.list": () => page });
  const { out } = await run(t, ["token", "list"], environment);
  assert.match(out, new RegExp(`^${TOKEN_ID} +ci +2026`, "m"));
});

test("token delete does not call a token revoked that was never there", async (t) => {
  const { server, environment } = await start(t, {
    "user_token.list": () => page,
    "user_token.delete": () => ({ ok: true }),
  });
  const missing = await run(t, ["token", "delete", "0123456789"], environment);
  assert.deepEqual([missing.code, missing.out], [1, ""]);
  assert.match(missing.err, /no token of yours has the id 0123456789[\s\S]*muster token list/);
  assert.equal(server.sessions[0]?.count("user_token.delete"), 0);
  const there = await run(t, ["token", "delete", TOKEN_ID], environment);
  assert.deepEqual([there.code, there.out], [0, `deleted ${TOKEN_ID}\n`]);
});

test("what the server's message says of the params is not said twice", async (t) => {
  const { environment } = await start(t, {
    "agent.list": () => {
      const issues = [{ path: "limit", message: "must be at most 500" }];
      throw new MusterError("invalid_params", "limit: must be at most 500", { issues });
    },
  });
  const { code, err } = await run(t, ["call", "agent.list"], environment);
  assert.deepEqual([code, err], [1, "error: limit: must be at most 500\n"]);
});

test("a token file that cannot be read is named in words", async (t) => {
  const path = join(folder(t), "none");
  const { code, err } = await run(t, ["agent", "--url", "http://127.0.0.1:1", "--token-file", path]);
  assert.deepEqual([code, err], [1, `error: cannot read the token file ${path}: there is no such file\n`]);
});

test("a database that cannot be reached is named at the start, without its password", async (t) => {
  const { code, err } = await run(t, ["serve"], {
    PORT: "0",
    DATABASE_URL: "postgres://app:hush-hush@127.0.0.1:1/fleet",
  });
  assert.equal(code, 1);
  assert.match(err, /DATABASE_URL.*127\.0\.0\.1:1\/fleet/);
  assert.doesNotMatch(err, /hush/);
});

test("one Ctrl+C that arrives twice, from the terminal and from npm, still stops the server whole", async (t) => {
  const database = await createTestDatabase();
  const muster = new Muster(t, ["serve", "--empty"], { PORT: "0", DATABASE_URL: database.url });
  await muster.says(/look next/);
  muster.child.kill("SIGINT");
  await muster.says(/stopping/);
  muster.child.kill("SIGINT");
  const { code, out } = await muster.done();
  assert.equal(code, 0);
  assert.match(out, /"stopped"/);
  await database.drop();
});

test("a server that has no database at the moment is not called unreachable", async (t) => {
  const { environment } = await start(t, {
    hello: () => {
      throw new MusterError("unavailable", "The database is away.");
    },
  });
  const { code, err } = await run(t, ["call", "agent.list"], environment);
  assert.deepEqual([code, err], [1, "error: The database is away.\n"]);
});
