import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { readCredentials } from "./credentials.ts";
import type { Log } from "./log.ts";

/** What in the data folder is a secret by itself. */
const SECRETS = ["secret.key", "credentials.json", "postgres.password"];
const OTHERS_MAY_WRITE = 0o022;
const OTHERS_MAY_DO_ANYTHING = 0o077;

/**
 * Looks at the data folder before anything works on it. Warns of what others than its user could read or change; throws
 * ConfigError for credentials that cannot be read. A folder that is not there yet is fine: it is made for its user alone.
 */
export async function inspectDataFolder(dataDir: string, log: Log): Promise<void> {
  const folder = await find(dataDir);
  if (folder === undefined) return;
  const user = process.getuid?.();
  if (user !== undefined) {
    warnOfOwner(dataDir, folder, user, log);
    if ((folder.mode & OTHERS_MAY_WRITE) !== 0)
      log.warn(`others may write to the data folder, and so become the owner of all: chmod go-w ${dataDir}`);
    for (const name of SECRETS) {
      const path = join(dataDir, name);
      const file = await find(path);
      if (file === undefined) continue;
      warnOfOwner(path, file, user, log);
      if ((file.mode & OTHERS_MAY_DO_ANYTHING) !== 0)
        log.warn(`others have rights to ${path}, which is a secret: chmod 600 ${path}`);
    }
  }
  await readCredentials(dataDir);
}

/** Whoever owns a file may change it, whatever its mode. Root's, though, everyone has to trust. */
function warnOfOwner(path: string, { uid }: Stats, user: number, log: Log): void {
  if (uid !== user && uid !== 0)
    log.warn(`${path} belongs to another user (${uid}), who may change it: chown ${user} ${path}`);
}

/** Undefined when there is nothing. */
async function find(path: string): Promise<Stats | undefined> {
  return stat(path).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
}
