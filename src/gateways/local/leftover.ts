import { readFile, rm } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { wholeNumber } from "../../whole-number.ts";
import { GatewayError } from "../driver.ts";
import { signalGroup } from "./child.ts";
import { readText } from "./files.ts";
import type { Workspace } from "./workspace.ts";

const GRACE_MS = 5_000;
const LOOK_EVERY_MS = 20;

/**
 * Ends the runner that a crashed server may have left in this workspace. A process counts as that only if its own
 * command line names this workspace's token file: numbers are used again. Where there is no /proc (macOS), the end of
 * its stdin has to do. Throws GatewayError when it cannot be ended.
 */
export async function endLeftover(workspace: Workspace): Promise<void> {
  const pid = wholeNumber((await readText(workspace.pidFile))?.trim());
  if (pid === undefined || pid <= 1) return;
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    const patience = Date.now() + GRACE_MS;
    if (await isRunner(pid, workspace)) signalGroup(pid, signal);
    // It is not our child: the system does not tell us of its end.
    while (Date.now() < patience && (await isRunner(pid, workspace))) await pause(LOOK_EVERY_MS);
  }
  if (await isRunner(pid, workspace))
    throw new GatewayError(`process ${pid} of an earlier start does not end`, { transient: true });
  await rm(workspace.pidFile, { force: true });
}

async function isRunner(pid: number, { tokenFile }: Workspace): Promise<boolean> {
  const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return line.split("\0").includes(tokenFile);
}
