import { execFile } from "node:child_process";
import { readFile, readlink, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { wholeNumber } from "../../whole-number.ts";
import { EmbeddedPostgresError } from "./error.ts";

const POLL_MS = 20;
/** How long a fast shutdown may take before an immediate one is asked for. Both lose nothing. */
export const FAST_SHUTDOWN_MS = 15_000;
const IMMEDIATE_SHUTDOWN_MS = 15_000;

/**
 * Ends a Postgres that a server which died has left on this cluster, so that it can be started anew under our eyes.
 * A pid file that names a process of another kind is removed: Postgres itself would take that process for its own.
 *
 * @param cluster the cluster's folder, absolute and free of symbolic links
 * @returns whether there was one
 * @throws EmbeddedPostgresError when it does not end
 */
export async function stopLeftover(cluster: string): Promise<boolean> {
  const pidFile = join(cluster, "postmaster.pid");
  const [firstLine = ""] = (await readFile(pidFile, "utf8").catch(() => "")).split("\n", 1);
  const pid = wholeNumber(firstLine.trim());
  if (pid === undefined || pid === 0) return false;
  if (!(await serves(pid, cluster))) {
    // A dead process's file is left to Postgres, which then also looks for children that have outlived it.
    if (isAlive(pid)) await rm(pidFile, { force: true });
    return false;
  }
  // Never SIGKILL: its children would go on working on the files for a moment, without anybody to tell them to stop.
  if (await signalAndWait(pid, "SIGINT", cluster, FAST_SHUTDOWN_MS)) return true;
  if (await signalAndWait(pid, "SIGQUIT", cluster, IMMEDIATE_SHUTDOWN_MS)) return true;
  throw new EmbeddedPostgresError(
    `a Postgres from an earlier start (process ${pid}) is still running on ${cluster} and does not stop: end it by hand`,
  );
}

async function signalAndWait(
  pid: number,
  signal: NodeJS.Signals,
  cluster: string,
  timeoutMs: number,
): Promise<boolean> {
  try {
    process.kill(pid, signal);
  } catch {
    return !(await serves(pid, cluster));
  }
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await pause(POLL_MS))
    if (!(await serves(pid, cluster))) return true;
  return false;
}

/** Whether the process is a Postgres on this very cluster: it works in the cluster's folder, and nothing else does. */
async function serves(pid: number, cluster: string): Promise<boolean> {
  try {
    if (process.platform === "linux") return (await readlink(`/proc/${pid}/cwd`)) === cluster;
    const { stdout } = await promisify(execFile)("ps", ["-o", "command=", "-p", String(pid)]);
    return stdout.includes(cluster);
  } catch {
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
