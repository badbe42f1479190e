import { constants } from "node:fs";
import { link, lstat, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { wholeNumber } from "./whole-number.ts";

export interface WholeFileOptions {
  /** Permissions, whatever the umask and the file before it say. Only the owner reads it unless said otherwise. */
  mode?: number;
  /** Fails with EEXIST when there is a file already, of whatever kind. */
  exclusive?: boolean;
  /** Where the text is gathered first, on the same disk; used for one file at a time. Unless given: beside the file. */
  draft?: string;
}

/** File systems without hard links say one of these to `link`. */
const NO_LINKS = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);
/** A folder that cannot be synced on this file system, or not by us, is as safe as it gets. */
const NO_SYNC = new Set(["EINVAL", "ENOTSUP", "EOPNOTSUPP", "EISDIR", "EACCES", "EPERM", "EBADF"]);

/** The last write to each path that is being written: the next one waits for it. */
const underWay = new Map<string, Promise<void>>();

/**
 * Writes a file whole or not at all, whenever the process is killed, the machine stops or the disk is full: beside its
 * place first, synced, then renamed into it, and the folder synced too. Its owner stays who it was, where we may say so.
 * A link in its place is replaced, not followed. What a killed write has left is removed by the next one.
 */
export async function writeWhole(path: string, text: string, options: WholeFileOptions = {}): Promise<void> {
  const before = underWay.get(path) ?? Promise.resolve();
  const write = before.then(
    () => writeNow(path, text, options),
    () => writeNow(path, text, options),
  );
  underWay.set(path, write);
  try {
    await write;
  } finally {
    if (underWay.get(path) === write) underWay.delete(path);
  }
}

async function writeNow(path: string, text: string, options: WholeFileOptions): Promise<void> {
  const { mode = 0o600, exclusive = false, draft = `${path}.${process.pid}.new` } = options;
  if (options.draft === undefined) await removeDrafts(path);
  else await rm(draft, { force: true });
  try {
    const file = await open(draft, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, mode);
    try {
      const before = process.getuid?.() === 0 ? await lstat(path).catch(() => undefined) : undefined;
      if (before?.isFile()) await file.chown(before.uid, before.gid);
      await file.chmod(mode);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (exclusive) await moveIfFree(draft, path);
    else await rename(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
  await syncFolder(dirname(path));
}

/** Makes sure that names given and taken in a folder outlast a power cut. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, constants.O_RDONLY);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    if (!NO_SYNC.has(codeOf(error))) throw error;
  }
}

/** The drafts of processes that are no more. Our own number may have been another process's before. */
async function removeDrafts(path: string): Promise<void> {
  const folder = dirname(path);
  const start = `${basename(path)}.`;
  for (const name of await readdir(folder)) {
    if (!name.startsWith(start)) continue;
    const pid = wholeNumber(/^(\d+)\.new$/.exec(name.slice(start.length))?.[1]);
    if (pid !== undefined && (pid === process.pid || !isAlive(pid)))
      await rm(join(folder, name), { force: true });
  }
}

async function moveIfFree(draft: string, path: string): Promise<void> {
  try {
    // Unlike a rename, this fails where there is a file.
    await link(draft, path);
  } catch (error) {
    if (!NO_LINKS.has(codeOf(error))) throw error;
    if (await lstat(path).catch(() => undefined))
      throw Object.assign(new Error(`${path} is there already`), { code: "EEXIST" });
    await rename(draft, path);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
