import { chmodSync, mkdtempSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MEMORY = "/dev/shm";
const TMPFS = 0x0102_1994;
/** More than the tests' databases ever take together, in bytes. */
const ROOM = 2 * 1024 ** 3;

/**
 * Makes a folder for everything that a test run writes, and returns it. It is in memory where there is room: a database
 * is a thousand files, and ext4 takes a third of a second of processor time for them once many were deleted.
 */
export function makeScratch(): string {
  const folder = mkdtempSync(join(hasRoom(MEMORY) ? MEMORY : tmpdir(), "muster-tests-"));
  // As the folder for temporary files is: Postgres runs as another user when the tests run as root.
  chmodSync(folder, 0o1777);
  return folder;
}

function hasRoom(folder: string): boolean {
  try {
    const { type, bavail, bsize } = statfsSync(folder);
    return type === TMPFS && bavail * bsize >= ROOM;
  } catch {
    return false;
  }
}
