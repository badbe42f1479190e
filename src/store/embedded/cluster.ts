import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, chown, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { syncFolder, writeWhole } from "../../whole-file.ts";
import type { Account } from "./account.ts";
import type { Binaries } from "./binaries.ts";
import { EmbeddedPostgresError } from "./error.ts";

const run = promisify(execFile);

/** The database and its superuser have one name. */
export const NAME = "muster";

/** Unfinished clusters: this, a dash and something random. */
const UNFINISHED = "postgres.new";

/**
 * Makes the cluster if there is none yet, and gives back the password of its user.
 *
 * A cluster is made under another name and renamed when it is whole, so a crash on the way leaves nothing that could be
 * taken for one. Its password is drawn anew each time, and kept before the rename.
 *
 * @param dataDir absolute
 * @param cluster its final folder, directly in `dataDir`
 * @throws EmbeddedPostgresError when it cannot be made, or is there without its password
 */
export async function ensureCluster(
  dataDir: string,
  cluster: string,
  binaries: Binaries,
  account: Account,
): Promise<string> {
  const passwordFile = join(dataDir, "postgres.password");
  await removeUnfinished(dataDir);
  if (await stat(join(cluster, "PG_VERSION")).catch(() => undefined)) {
    await settleOwner(cluster, account);
    return readPassword(passwordFile, cluster);
  }
  const unfinished = join(dataDir, `${UNFINISHED}-${randomBytes(6).toString("hex")}`);
  const password = randomBytes(24).toString("base64url");
  await writeWhole(passwordFile, password);
  // A copy that initdb, which runs as another user, may read.
  const handedOver = `${unfinished}.password`;
  await writeFile(handedOver, password, { mode: 0o600 });
  await mkdir(unfinished, { mode: 0o700 });
  if (account.owner)
    for (const path of [unfinished, handedOver]) await chown(path, account.owner.uid, account.owner.gid);
  const { command, args, options } = account.invocation(binaries.initdb, [
    `--pgdata=${unfinished}`,
    `--username=${NAME}`,
    `--pwfile=${handedOver}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    // The same order and the same folding on every machine.
    "--locale=C",
    "--no-instructions",
  ]);
  try {
    await run(command, args, options);
    await rename(unfinished, cluster);
    await syncFolder(dataDir);
  } catch (cause) {
    await removeUnfinished(dataDir);
    throw new EmbeddedPostgresError(`initdb could not make ${cluster}: ${wordsOf(cause)}`, { cause });
  }
  await rm(handedOver, { force: true });
  return password;
}

async function readPassword(passwordFile: string, cluster: string): Promise<string> {
  const password = await readFile(passwordFile, "utf8").catch((cause) => {
    throw new EmbeddedPostgresError(
      `${passwordFile} cannot be read, without which ${cluster} cannot be opened: put it back, or move ${cluster} away to begin anew`,
      { cause },
    );
  });
  const trimmed = password.trim();
  if (trimmed === "")
    throw new EmbeddedPostgresError(
      `${passwordFile} is empty, and without the password ${cluster} cannot be opened: put it back from a backup, or move ${cluster} away to begin anew`,
    );
  return trimmed;
}

/** A cluster that root has copied is handed to whom Postgres runs as; Postgres also insists on its mode. */
async function settleOwner(cluster: string, { owner }: Account): Promise<void> {
  const found = await stat(cluster);
  if (owner && found.uid !== owner.uid) await run("chown", ["-R", `${owner.uid}:${owner.gid}`, cluster]);
  if ((found.mode & 0o777) !== 0o700) await chmod(cluster, 0o700);
}

async function removeUnfinished(dataDir: string): Promise<void> {
  for (const name of await readdir(dataDir))
    if (name.startsWith(`${UNFINISHED}-`)) await rm(join(dataDir, name), { recursive: true, force: true });
}

function wordsOf(error: unknown): string {
  if (error instanceof Error && "stderr" in error && typeof error.stderr === "string" && error.stderr.trim())
    return error.stderr.trim();
  return error instanceof Error ? error.message : String(error);
}
