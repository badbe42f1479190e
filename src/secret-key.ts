import { randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "./config.ts";
import { writeWhole } from "./whole-file.ts";

/** The same as is asked of MUSTER_SECRET_KEY. */
const LEAST_CHARACTERS = 16;

/**
 * The server's own secret key, made at the first start and kept in the data folder, readable by its user alone. Throws
 * ConfigError for a file that holds none: a new key in its place would make everything that was sealed unreadable.
 */
export async function ownSecretKey(dataDir: string): Promise<string> {
  const file = join(dataDir, "secret.key");
  const kept = await readSecretKey(file);
  if (kept !== undefined) return kept;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeWhole(file, `${randomBytes(32).toString("base64url")}\n`, { exclusive: true }).catch(
    (error: unknown) => {
      // Another start was faster: its key is the one.
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    },
  );
  const made = await readSecretKey(file);
  if (made === undefined) throw new ConfigError(`${file}: it was removed while the server started`);
  return made;
}

/** Undefined when there is no such file. */
async function readSecretKey(file: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new ConfigError(`${file}: cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  const key = text.trim();
  if (key.length >= LEAST_CHARACTERS) return key;
  throw new ConfigError(
    `${file}: it ${key === "" ? "is empty" : `holds ${key.length} characters`}, and the secret key has ${LEAST_CHARACTERS} or more: ` +
      "put the right one back from a backup, or set MUSTER_SECRET_KEY to it. If it is lost, remove the file: a new key is made, " +
      "and what was sealed with the old one (gateways' tokens) has to be given anew",
  );
}
