import { spawn } from "node:child_process";
import { once } from "node:events";
import { packageRoot } from "../../src/package-root.ts";
import { SHARED_CLUSTER, startTestCluster } from "../support/postgres.ts";
import { installOpenClaw, VERSIONS } from "./install.ts";

/*
 * Runs the gateway contract against real OpenClaw gateways from the npm registry, one version after the other. Arguments
 * name the versions; none: the newest; `all`: every one that is known. In CI a version that cannot be had is no failure.
 */
const RUN_MS = 720_000;
const known = Object.keys(VERSIONS);
const [newest = ""] = known;
const asked = process.argv.slice(2);
const chosen = asked.includes("all") ? known : asked.length > 0 ? asked : [newest];

const versions: string[] = [];
let missing = 0;
for (const version of chosen)
  try {
    await installOpenClaw(version);
    versions.push(version);
  } catch (error) {
    missing += 1;
    const why = error instanceof Error ? error.message.slice(0, 2_000) : error;
    console.log(`OpenClaw ${version} could not be installed: its tests were NOT run.\n${why}`);
  }

let failed = 0;
if (versions.length > 0) {
  const cluster = await startTestCluster();
  try {
    for (const version of versions) {
      const runner = spawn(
        process.execPath,
        ["--import", "tsx", "--test", "--test-reporter=spec", "test/openclaw/real.ts"],
        {
          cwd: packageRoot,
          stdio: "inherit",
          timeout: RUN_MS,
          env: { ...process.env, [SHARED_CLUSTER]: cluster.adminUrl, OPENCLAW_VERSION: version },
        },
      );
      await once(runner, "exit");
      if (runner.exitCode !== 0) failed += 1;
    }
  } finally {
    await cluster.stop();
  }
}
process.exit(failed > 0 || (missing > 0 && !process.env.CI) ? 1 : 0);
