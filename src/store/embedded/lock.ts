import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { EmbeddedPostgresError, OR_OWN_POSTGRES } from "./error.ts";

/** open(2) on macOS and the BSDs: lock the file in the same breath, and do not wait for it. */
const BSD_O_EXLOCK = 0x20;
const BSD_O_NONBLOCK = 0x04;
const BSD_O_RDWR_CREAT = 0x202;

/**
 * Makes this process the only server on a data folder.
 *
 * The lock is the kernel's, on an open file: it goes when its holder goes, however it went, and no later process with
 * the same id can be taken for the holder. The file itself stays (removing it would let two servers lock two files).
 *
 * @param dataDir absolute; exists
 * @returns gives the lock back
 * @throws EmbeddedPostgresError when another server holds it
 */
export function lockDataDir(dataDir: string): () => void {
  const path = join(dataDir, "server.lock");
  const descriptor = process.platform === "linux" ? lockByCommand(path, dataDir) : lockByOpen(path, dataDir);
  ftruncateSync(descriptor, 0);
  writeSync(descriptor, `${process.pid}\n`, 0);
  let held = true;
  return () => {
    if (held) closeSync(descriptor);
    held = false;
  };
}

/** Node cannot call flock(2). The command can, on a file that we opened: the lock belongs to the open file, not to it. */
function lockByCommand(path: string, dataDir: string): number {
  const descriptor = openSync(path, "a+", 0o600);
  const { status, error } = spawnSync("flock", ["-x", "-n", "3"], {
    stdio: ["ignore", "ignore", "ignore", descriptor],
  });
  if (status === 0) return descriptor;
  closeSync(descriptor);
  if (error)
    throw new EmbeddedPostgresError(
      `the command flock could not be run: install util-linux, ${OR_OWN_POSTGRES}`,
      { cause: error },
    );
  throw inUse(path, dataDir);
}

function lockByOpen(path: string, dataDir: string): number {
  try {
    return openSync(path, BSD_O_RDWR_CREAT | BSD_O_EXLOCK | BSD_O_NONBLOCK, 0o600);
  } catch (cause) {
    throw inUse(path, dataDir, cause);
  }
}

function inUse(path: string, dataDir: string, cause?: unknown): EmbeddedPostgresError {
  const holder = readFileSync(path, "utf8").trim();
  return new EmbeddedPostgresError(
    `another server${holder === "" ? "" : ` (process ${holder})`} is running on ${dataDir}: ` +
      "stop it first, or give this one a data folder of its own",
    { cause },
  );
}
