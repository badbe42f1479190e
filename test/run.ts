import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { join, relative } from "node:path";
import { packageRoot } from "../src/package-root.ts";
import { compilePackage } from "./support/compile.ts";
import { SHARED_CLUSTER, startTestCluster } from "./support/postgres.ts";

/*
 * Runs the tests on one Postgres of their own. Arguments choose test files: those whose path contains one of them.
 */
/** For a file that hangs; the longest take a minute and a half on two busy cores. */
const FILE_TIMEOUT_MS = 300_000;

const chosen = process.argv.slice(2);
const files = readdirSync(join(packageRoot, "test"), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
  .map((entry) => relative(packageRoot, join(entry.parentPath, entry.name)))
  .filter((file) => chosen.length === 0 || chosen.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`no test file's path contains ${chosen.join(" or ")}`);
  process.exit(1);
}

let interrupted: NodeJS.Signals | undefined;
let runner: ReturnType<typeof spawn> | undefined;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    interrupted ??= signal;
    runner?.kill(signal);
  });

const cluster = await startTestCluster();
let compiled = "";
let code: number | null = null;
try {
  if (!interrupted) compiled = await compilePackage();
  if (!interrupted) {
    runner = spawn(
      process.execPath,
      [
        "--enable-source-maps",
        "--test",
        "--test-concurrency=2",
        `--test-timeout=${FILE_TIMEOUT_MS}`,
        "--test-reporter=spec",
        ...files.map((file) => join(compiled, file.replace(/\.ts$/, ".js"))),
      ],
      { cwd: packageRoot, stdio: "inherit", env: { ...process.env, [SHARED_CLUSTER]: cluster.adminUrl } },
    );
    await once(runner, "exit");
    code = runner.exitCode;
  }
} finally {
  await cluster.stop();
  if (compiled) rmSync(compiled, { recursive: true, force: true });
}
process.exit(interrupted ? 128 + constants.signals[interrupted] : (code ?? 1));
