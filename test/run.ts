import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, rmSync } from "node:fs";
import { availableParallelism, constants } from "node:os";
import { join, relative } from "node:path";
import { packageRoot } from "../src/package-root.ts";
import { compilePackage } from "./support/compile.ts";
import { SHARED_CLUSTER, startTestCluster } from "./support/postgres.ts";
import { makeScratch } from "./support/scratch.ts";

/*
 * Runs the tests on one Postgres of their own. Arguments choose test files: those whose path contains one of them. Without
 * any, all but those in test/faults/, which take long by nature.
 */
const SLOW = join("test", "faults", "/");
/** For a file that hangs; the longest take a minute and a half on two busy cores. */
const FILE_TIMEOUT_MS = 300_000;
/** Files at a time: one more than there are cores, as one of them mostly waits; Postgres has connections for so many. */
const AT_ONCE = Math.min(4, availableParallelism() + 1);
/** Runs the lines that agents are given, as they stand. */
const NEEDS_CURL = "openclaw-contract";

const chosen = process.argv.slice(2);
const files = readdirSync(join(packageRoot, "test"), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
  .map((entry) => relative(packageRoot, join(entry.parentPath, entry.name)))
  .filter((file) =>
    chosen.length === 0 ? !file.startsWith(SLOW) : chosen.some((part) => file.includes(part)),
  )
  .sort();
if (files.length === 0) {
  console.error(`no test file's path contains ${chosen.join(" or ")}`);
  process.exit(1);
}
if (files.some((file) => file.includes(NEEDS_CURL)) && spawnSync("curl", ["--version"]).status !== 0) {
  console.error("The tests need curl, which is not installed: apt-get install curl");
  process.exit(1);
}

let interrupted: NodeJS.Signals | undefined;
let runner: ReturnType<typeof spawn> | undefined;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    interrupted ??= signal;
    signalRunner(signal);
  });

/** Signals the runner and all that its tests have started, which is a process group; nothing where it is gone. */
function signalRunner(signal: NodeJS.Signals): void {
  try {
    if (runner?.pid !== undefined) process.kill(-runner.pid, signal);
  } catch {
    // Nobody is left.
  }
}

const scratch = makeScratch();
process.env.TMPDIR = scratch;
let cluster: Awaited<ReturnType<typeof startTestCluster>> | undefined;
let compiled = "";
let code: number | null = null;
try {
  cluster = await startTestCluster();
  if (!interrupted) compiled = await compilePackage();
  if (!interrupted) {
    runner = spawn(
      process.execPath,
      [
        "--enable-source-maps",
        "--test",
        `--test-concurrency=${AT_ONCE}`,
        `--test-timeout=${FILE_TIMEOUT_MS}`,
        "--test-reporter=spec",
        ...files.map((file) => join(compiled, file.replace(/\.ts$/, ".js"))),
      ],
      {
        cwd: packageRoot,
        stdio: "inherit",
        detached: true,
        env: { ...process.env, [SHARED_CLUSTER]: cluster.adminUrl },
      },
    );
    await once(runner, "exit");
    code = runner.exitCode;
    // What a test that was ended has left running.
    signalRunner("SIGKILL");
  }
} catch (error) {
  // Ctrl+C reaches what was being started, too.
  if (!interrupted) throw error;
} finally {
  await cluster?.stop();
  for (const folder of [compiled, scratch]) if (folder) rmSync(folder, { recursive: true, force: true });
}
process.exit(interrupted ? 128 + constants.signals[interrupted] : (code ?? 1));
