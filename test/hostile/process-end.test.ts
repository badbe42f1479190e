import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Writable } from "node:stream";
import { type TestContext, test } from "node:test";
import { createLog } from "../../src/log.ts";
import { Shutdown } from "../../src/shutdown.ts";
import { until } from "../support/await.ts";
import { folder, Muster } from "../support/muster-process.ts";
import { startTestServer } from "../support/server.ts";
import { Wire } from "../support/wire.ts";

/** Has a process run a piece of code when it is sent SIGUSR2. */
const atSigusr2 = (code: string) => {
  const source = `process.on("SIGUSR2", () => { ${code} })`;
  return `--import=data:text/javascript;base64,${Buffer.from(source).toString("base64")}`;
};

/** A server with a Postgres of its own, and a socket that waits to hear of its end. */
async function serving(t: TestContext, environment: Record<string, string> = {}) {
  const data = folder(t);
  const muster = new Muster(t, ["serve", "--empty"], { PORT: "0", MUSTER_DATA_DIR: data, ...environment });
  await muster.says(/look next/);
  const { url, token } = JSON.parse(await readFile(join(data, "credentials.json"), "utf8"));
  const wire = await Wire.open({ url });
  t.after(() => wire.end());
  await wire.hello(token);
  return { muster, wire, data, postgres: await postgresOf(data) };
}

async function postgresOf(data: string): Promise<number> {
  const [pid = ""] = (await readFile(join(data, "postgres", "postmaster.pid"), "utf8")).split("\n");
  return Number(pid);
}

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

for (const signal of ["SIGHUP", "SIGTERM"] as const)
  test(`${signal} stops the server whole: sockets are told, Postgres ends, exit code 0`, async (t) => {
    const { muster, wire, data, postgres } = await serving(t);
    muster.child.kill(signal);
    const { code, out, err } = await muster.done();
    assert.deepEqual([code, err], [0, ""]);
    assert.match(out, new RegExp(`"by":"${signal}".*"stopping"[\\s\\S]*"stopped"`));
    assert.equal((await wire.closing()).code, 1001);
    assert.equal(isAlive(postgres), false);
    assert.equal(existsSync(join(data, "postgres", "postmaster.pid")), false);
  });

test("a terminal that closes, signal and broken output at once, stops the server whole", async (t) => {
  const { muster, wire, postgres } = await serving(t);
  muster.child.stdout.destroy();
  muster.child.stderr.destroy();
  muster.child.kill("SIGHUP");
  assert.equal((await muster.done()).code, 0);
  assert.equal((await wire.closing()).code, 1001);
  assert.equal(isAlive(postgres), false);
});

test("a reader of the log that goes away, like head, stops the server whole and without a stack", async (t) => {
  const data = folder(t);
  const muster = new Muster(t, ["serve"], { PORT: "0", MUSTER_DATA_DIR: data });
  await muster.says(/ready on/);
  const postgres = await postgresOf(data);
  // What it says next is of the agents that it has made.
  muster.child.stdout.destroy();
  assert.deepEqual(await muster.done(), { code: 0, out: muster.out, err: "" });
  assert.equal(isAlive(postgres), false);
});

for (const [what, code] of [
  ["an error that nobody caught", 'setImmediate(() => { throw new Error("thrown by the test") })'],
  ["a promise whose rejection nobody took", 'Promise.reject(new Error("thrown by the test"))'],
] as const)
  test(`${what} is logged whole and stops the server whole, with exit code 1`, async (t) => {
    const { muster, wire, postgres } = await serving(t, { NODE_OPTIONS: atSigusr2(code) });
    muster.child.kill("SIGUSR2");
    const { code: exit, out, err } = await muster.done();
    assert.deepEqual([exit, err], [1, ""]);
    const logged = out.split("\n").find((line) => line.includes('"level":60'));
    assert.match(JSON.parse(logged ?? "{}").err.stack, /thrown by the test[\s\S]*at /);
    assert.match(out, /"stopped"/);
    assert.equal((await wire.closing()).code, 1001);
    assert.equal(isAlive(postgres), false);
  });

test("however the process comes to exit, Postgres does not outlive it", async (t) => {
  const { muster, postgres } = await serving(t, { NODE_OPTIONS: atSigusr2("process.exit(3)") });
  muster.child.kill("SIGUSR2");
  assert.equal((await muster.done()).code, 3);
  await until(() => !isAlive(postgres), { what: "the end of Postgres" });
});

test("a part that throws, rejects or hangs keeps no other part from being stopped", async () => {
  const stopped: string[] = [];
  let logged = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      logged += chunk;
      done();
    },
  });
  const shutdown = new Shutdown(createLog("info", stream));
  shutdown.add("Postgres", () => void stopped.push("Postgres"));
  shutdown.add("hangs", () => new Promise(() => {}), 20);
  shutdown.add("throws", () => {
    throw new Error("thrown");
  });
  shutdown.add("rejects", async () => Promise.reject(new Error("rejected")));
  shutdown.add("sessions", async () => void stopped.push("sessions"));
  await Promise.all([shutdown.run(), shutdown.run()]);
  await shutdown.run();
  assert.deepEqual(stopped, ["sessions", "Postgres"]);
  for (const part of ["hangs", "throws", "rejects"]) assert.match(logged, new RegExp(`"part":"${part}"`));
});

test("a driver that fails to stop keeps no socket from being told, and no port", async (t) => {
  const server = await startTestServer(t, {
    drivers: ({ local, ...others }) => ({
      ...others,
      ...(local ? { local: { ...local, stop: () => Promise.reject(new Error("it does not")) } } : {}),
    }),
  });
  const wire = await server.wire();
  await server.stop();
  assert.equal((await wire.closing()).code, 1001);
  await server.start();
  await server.wire();
});

test("a log that nobody reads neither grows without end nor stops the server", async () => {
  let release = () => {};
  let text = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      release = done;
    },
  });
  const log = createLog("info", stream);
  for (let line = 0; line < 30_000; line++) log.info({ line }, "x".repeat(100));
  assert.ok(stream.writableLength < 2_000_000, String(stream.writableLength));
  while (stream.writableLength > 0) {
    release();
    await new Promise(setImmediate);
  }
  log.info("read again");
  while (stream.writableLength > 0) {
    release();
    await new Promise(setImmediate);
  }
  const lines = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const kept = lines.filter(({ line }) => line !== undefined).length;
  assert.equal(lines.at(-2).lines, 30_000 - kept);
  assert.equal(lines.at(-1).msg, "read again");
});
