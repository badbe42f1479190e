import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { lstat, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Command, startProcess } from "../src/gateways/local/child.ts";
import { RunnerLog } from "../src/gateways/local/runner-log.ts";
import { packageRoot } from "../src/package-root.ts";
import { until } from "./support/await.ts";
import { DEAF, LIVE, provision, real, refusal, runs, setUp, work } from "./support/local-gateway.ts";

test("a real process runs in its workspace, logs there, and is gone after stop", async (t) => {
  const { driver, folder } = await setUp(t, real(LIVE));
  await provision(driver);
  const log = join(folder, ".muster", "runner.log");
  await until(async () => /hello/.test(await readFile(log, "utf8").catch(() => "")), {
    what: "its first words",
  });
  const pid = Number(await readFile(join(folder, ".muster", "runner.pid"), "utf8"));
  assert.equal(await readFile(log, "utf8"), `hello from ${pid}\n`);
  assert.equal((await lstat(log)).mode & 0o777, 0o600);
  assert.ok(await runs(pid));
  await driver.stop();
  assert.equal(await runs(pid), false);
  assert.equal(existsSync(join(folder, ".muster", "runner.pid")), false);
});

test("a program that cannot be run is told as a failure that may pass", async (t) => {
  const { driver } = await setUp(t, (command) => startProcess({ ...command, file: "/nonexistent/node" }));
  const given = work();
  await driver.files(given);
  await assert.rejects(driver.wake(given), refusal(/ENOENT/, true));
});

const linux = { skip: process.platform !== "linux" };

test("a process left by a crashed server is ended before another starts", linux, async (t) => {
  const { driver, folder } = await setUp(t, real(LIVE));
  await driver.files(work());
  const left = spawn(process.execPath, ["-e", LIVE, join(folder, ".muster", "token")], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const stranger = spawn(process.execPath, ["-e", LIVE], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  t.after(() => stranger.kill("SIGKILL"));
  const ended = once(left, "exit");
  const pidFile = join(folder, ".muster", "runner.pid");
  await until(() => runs(left.pid ?? 0), { what: "the process" });

  await writeFile(pidFile, `${left.pid}\n`);
  await driver.wake(work());
  assert.deepEqual(await ended, [null, "SIGTERM"]);
  const pid = Number(await readFile(pidFile, "utf8"));
  assert.notEqual(pid, left.pid);

  await driver.stop();
  await until(() => runs(stranger.pid ?? 0), { what: "the process" });
  // The number was used again by something else: that is left alone.
  await writeFile(pidFile, `${stranger.pid}\n`);
  const second = await setUp(t, real(LIVE), join(folder, "..", "..", ".."));
  await second.driver.resume([work()]);
  await second.driver.roster(work());
  await second.driver.resume([work()]);
  assert.notEqual(Number(await readFile(pidFile, "utf8")), stranger.pid);
  assert.ok(await runs(stranger.pid ?? 0));
});

test("P22 a delete ends also the process that a crashed server left", linux, async (t) => {
  const first = await setUp(t, real("setInterval(() => {}, 1_000); console.log('up')"));
  await provision(first.driver);
  const pid = Number(await readFile(join(first.folder, ".muster", "runner.pid"), "utf8"));
  const second = await setUp(t, real(LIVE), first.base);
  assert.ok(await runs(pid));
  await second.driver.unroster(work({ action: "delete", agent: { generation: 2 } }));
  assert.equal(await runs(pid), false);
  assert.equal(existsSync(join(first.folder, ".muster", "agent.json")), false);
});

test("B4 a process does not outlive a server that was killed", linux, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "muster-orphan-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const child = JSON.stringify(join(packageRoot, "src/gateways/local/child.ts"));
  const command: Command = {
    file: process.execPath,
    args: ["-e", LIVE],
    cwd: folder,
    env: {},
    logFile: join(folder, "log"),
  };
  const server = spawn(process.execPath, [
    "--import",
    import.meta.resolve("tsx"),
    "--input-type=module",
    "-e",
    `const { startProcess } = await import(${child}); await startProcess(${JSON.stringify(command)}); setInterval(() => {}, 1000)`,
  ]);
  t.after(() => server.kill("SIGKILL"));
  const log = () => readFile(join(folder, "log"), "utf8").catch(() => "");
  await until(async () => /\d\n/.test(await log()), { what: "its first words" });
  const pid = Number(/\d+/.exec(await log())?.[0]);
  assert.ok(await runs(pid));
  server.kill("SIGKILL");
  await until(async () => !(await runs(pid)), { what: "the end of the process" });
});

test("what a deaf process has started goes with it", linux, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "muster-group-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const program = `console.log(require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(DEAF)}]).pid); ${DEAF}`;
  const logFile = join(folder, "log");
  const child = await startProcess({
    file: process.execPath,
    args: ["-e", program],
    cwd: folder,
    env: {},
    logFile,
  });
  await until(async () => /^\d+\n/.test(await readFile(logFile, "utf8").catch(() => "")), {
    what: "its first words",
  });
  const grandchild = Number.parseInt(await readFile(logFile, "utf8"), 10);
  child.kill("SIGKILL");
  assert.equal(await child.ended, "signal SIGKILL");
  await until(async () => !(await runs(grandchild)), { what: "the end of the process" });
  child.kill("SIGTERM");
});

test("the log of a process keeps the newest megabyte and one file before it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "muster-log-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "runner.log");
  const print = async (...lines: string[]) => {
    const log = new RunnerLog(path);
    await log.drain(
      (async function* () {
        for (const line of lines) yield Buffer.from(line.repeat(1_000));
      })(),
    );
    await log.close();
  };
  const text = "0123456789".repeat(10);
  await print(...Array.from({ length: 25 }, () => text));
  // Begun again, it goes on where it was.
  await print(...Array.from({ length: 6 }, () => text));
  assert.deepEqual((await readdir(folder)).sort(), ["runner.log", "runner.log.1"]);
  assert.equal((await lstat(`${path}.1`)).size, 10 * 100_000);
  assert.equal((await lstat(path)).size, 100_000);
  // A link in its place is not written through.
  await rename(path, join(folder, "elsewhere"));
  await symlink(join(folder, "elsewhere"), path);
  await assert.rejects(print("no"));
});
