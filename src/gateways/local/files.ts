import { lstat, mkdir, readFile } from "node:fs/promises";
import { writeWhole } from "../../whole-file.ts";
import { GatewayError } from "../driver.ts";

/** The machine is short of something for the moment; anything else stays wrong however often it is tried. */
const PASSING = new Set(["EAGAIN", "EBUSY", "EDQUOT", "EIO", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC"]);

/** The system's name of a failure, like ENOENT; empty when it is none of the system's. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** Any failure as a GatewayError. */
export function asGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new GatewayError(message, { transient: PASSING.has(codeOf(error)), cause: error });
}

/** What stands at a path, links not followed; undefined: nothing. */
export async function kindOf(path: string): Promise<"folder" | "file" | "other" | undefined> {
  try {
    const found = await lstat(path);
    return found.isDirectory() ? "folder" : found.isFile() ? "file" : "other";
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Makes sure that a real folder, not a link to one, stands at a path whose parent exists. Only its owner may enter. */
export async function ensureFolder(path: string): Promise<void> {
  const kind = await kindOf(path);
  if (kind === undefined)
    await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
      // Another agent's work may have made a shared parent in the meantime.
      if (codeOf(error) !== "EEXIST") throw error;
    });
  else if (kind !== "folder") throw notAFolder(path);
}

export function notAFolder(path: string): GatewayError {
  return new GatewayError(`${path} is not a folder (links are not followed)`, { transient: false });
}

/** A file's text; undefined when no regular file stands there. Links are not followed. */
export async function readText(path: string): Promise<string | undefined> {
  return (await kindOf(path)) === "file" ? readFile(path, "utf8") : undefined;
}

/**
 * Writes a file unless it holds this text already: whole or not at all, also when the machine stops in between.
 *
 * @param draft where the new text is gathered first; on the same disk, used for one file at a time
 * @returns whether it was written
 */
export async function writeIfChanged(
  path: string,
  text: string,
  draft: string,
  mode: number,
): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isFile() && (found.mode & 0o777) === mode && (await readFile(path, "utf8")) === text)
    return false;
  await writeWhole(path, text, { mode, draft });
  return true;
}
