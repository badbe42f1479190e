import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, chown, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Writable } from "node:stream";
import { type TestContext, test } from "node:test";
import { mintToken } from "../../src/auth/tokens.ts";
import { ConfigError } from "../../src/config.ts";
import { readCredentials } from "../../src/credentials.ts";
import { inspectDataFolder } from "../../src/data-folder.ts";
import { createLog } from "../../src/log.ts";
import { ownSecretKey } from "../../src/secret-key.ts";
import { until } from "../support/await.ts";
import { folder, Muster, run } from "../support/muster-process.ts";
import { createTestDatabase } from "../support/postgres.ts";

const isRoot = process.getuid?.() === 0;

async function database(t: TestContext): Promise<string> {
  const made = await createTestDatabase();
  t.after(() => made.drop());
  return made.url;
}

const BROKEN: [string, string, RegExp][] = [
  ["secret.key", "", /secret\.key: it is empty.*backup.*MUSTER_SECRET_KEY/],
  ["secret.key", " \n", /secret\.key: it is empty/],
  ["secret.key", "short\n", /secret\.key: it holds 5 characters.*16 or more/],
  ["credentials.json", "", /credentials\.json: it is empty.*backup.*--token/],
  ["credentials.json", '{"url":"http://127.0.0.1:87', /credentials\.json: it is damaged/],
  ["credentials.json", "null", /credentials\.json: it is damaged/],
  ["credentials.json", '{"url":"http://127.0.0.1:8787","token":""}', /credentials\.json: it is damaged/],
  [
    "credentials.json",
    '{"url":"http://h","token":"mst_agent_0"}',
    /credentials\.json: its token is not one of a user/,
  ],
];

test("a start with a broken secret or broken credentials ends with exit code 2, says what to do, and writes over nothing", async (t) => {
  const DATABASE_URL = await database(t);
  for (const [name, text, words] of BROKEN) {
    const data = folder(t);
    await writeFile(join(data, name), text, { mode: 0o600 });
    const environment = { PORT: "0", DATABASE_URL, MUSTER_DATA_DIR: data, LOG_LEVEL: "silent" };
    const { code, out, err } = await run(t, ["serve"], environment);
    assert.deepEqual([name, text, code, out], [name, text, 2, ""], err);
    assert.match(err, new RegExp(`^error: .*${words.source}`));
    assert.equal(await readFile(join(data, name), "utf8"), text);
  }
  // A key that is given makes the kept one nobody's concern.
  const data = folder(t);
  await writeFile(join(data, "secret.key"), "");
  const muster = new Muster(t, ["serve", "--empty"], {
    PORT: "0",
    DATABASE_URL,
    MUSTER_DATA_DIR: data,
    MUSTER_SECRET_KEY: "0123456789abcdef",
  });
  await muster.says(/look next/);
  muster.child.kill("SIGTERM");
  assert.equal((await muster.done()).code, 0);
});

test("what cannot be read is no reason to make another", async (t) => {
  const data = folder(t);
  await mkdir(join(data, "secret.key"));
  await mkdir(join(data, "credentials.json"));
  await assert.rejects(ownSecretKey(data), ConfigError);
  await assert.rejects(readCredentials(data), ConfigError);
});

test("of starts at the same time one makes the key, and all have it", async (t) => {
  const data = join(folder(t), "new");
  const keys = await Promise.all(Array.from({ length: 8 }, () => ownSecretKey(data)));
  assert.equal(new Set(keys).size, 1);
  assert.equal(keys[0], (await readFile(join(data, "secret.key"), "utf8")).trim());
  assert.equal((await stat(join(data, "secret.key"))).mode & 0o777, 0o600);
  assert.equal((await stat(data)).mode & 0o777, 0o700);
});

test("a first start on another database keeps the token that is there", async (t) => {
  const data = folder(t);
  const { token } = mintToken("user");
  await writeFile(join(data, "credentials.json"), JSON.stringify({ url: "http://127.0.0.1:1", token }), {
    mode: 0o600,
  });
  const environment = { PORT: "0", DATABASE_URL: await database(t), MUSTER_DATA_DIR: data };
  const muster = new Muster(t, ["serve", "--empty"], environment);
  await muster.says(/look next/);
  assert.equal((await readCredentials(data))?.token, token);
  const { code, out } = await run(t, ["call", "organization.get"], { MUSTER_DATA_DIR: data });
  assert.equal(code, 0);
  assert.match(out, /My organization/);
  muster.child.kill("SIGTERM");
  await muster.done();
});

/** The warnings that a look at the folder gives. */
async function warnings(data: string): Promise<string[]> {
  let text = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  await inspectDataFolder(data, createLog("warn", stream));
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line).msg);
}

test("a data folder or a secret that others have rights to is told, with the line that mends it", async (t) => {
  assert.deepEqual(await warnings(join(folder(t), "none")), []);
  const data = folder(t);
  const key = join(data, "secret.key");
  const credentials = join(data, "credentials.json");
  await ownSecretKey(data);
  await writeFile(credentials, '{"url":"http://h","token":"t"}', { mode: 0o600 });
  assert.deepEqual(await warnings(data), []);
  for (const mode of [0o770, 0o707, 0o777, 0o1777]) {
    await chmod(data, mode);
    const [warning, ...more] = await warnings(data);
    assert.match(warning ?? "", new RegExp(`chmod go-w ${data}$`));
    assert.deepEqual(more, []);
  }
  await chmod(data, 0o755);
  assert.deepEqual(await warnings(data), []);
  await chmod(key, 0o640);
  await chmod(credentials, 0o604);
  const told = await warnings(data);
  assert.equal(told.length, 2);
  for (const path of [key, credentials]) assert.ok(told.some((line) => line.endsWith(`chmod 600 ${path}`)));
});

test("root: a data folder of another user is told", { skip: !isRoot }, async (t) => {
  const data = folder(t);
  await chown(data, 65_534, 65_534);
  const [warning] = await warnings(data);
  assert.match(warning ?? "", new RegExp(`belongs to another user \\(65534\\).*chown 0 ${data}$`));
});

test("kill -9 at any moment of a first start leaves what the next start can begin from", async (t) => {
  const data = folder(t);
  const environment = { PORT: "0", MUSTER_DATA_DIR: data };
  for (const made of ["postgres.password", "postgres", "secret.key", "credentials.json"]) {
    const muster = new Muster(t, ["serve", "--empty"], environment);
    await until(
      () => {
        assert.equal(muster.child.exitCode, null, muster.out + muster.err);
        return existsSync(join(data, made));
      },
      { what: made, timeoutMs: 60_000 },
    );
    muster.child.kill("SIGKILL");
    await muster.done();
  }
  const muster = new Muster(t, ["serve", "--empty"], environment);
  await muster.says(/ready on/);
  const { code, out, err } = await run(t, ["call", "organization.get"], { MUSTER_DATA_DIR: data });
  assert.equal(code, 0, err);
  assert.match(out, /My organization/);
  muster.child.kill("SIGTERM");
  assert.equal((await muster.done()).code, 0);
});
