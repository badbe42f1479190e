import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { promisify } from "node:util";
import { wholeNumber } from "../../whole-number.ts";
import type { Binaries } from "./binaries.ts";
import { EmbeddedPostgresError, OR_OWN_POSTGRES } from "./error.ts";

const run = promisify(execFile);

/** A user of the system, by its numbers. */
export interface Ids {
  uid: number;
  gid: number;
}

/** A command as it is to be spawned. */
export interface Invocation {
  command: string;
  args: string[];
  /** Given to spawn as they are. */
  options: { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number };
}

/** Whom the Postgres programs run as, and how. */
export interface Account {
  /** Who must own the cluster's folder; undefined: whoever this process is. */
  owner: Ids | undefined;
  invocation(command: string, args: string[]): Invocation;
}

/** Nothing of our own environment (secrets, PG* settings, locale) reaches Postgres. */
const env = { PATH: `${process.env.PATH ?? ""}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin`, LC_ALL: "C" };

/**
 * Decides whom Postgres runs as. It refuses to be root, so root hands it to the owner of the cluster, or for a new
 * cluster to the system user `postgres`, which is made if there is none.
 *
 * @param dataDir absolute; exists
 * @param cluster the cluster's folder, which may not exist yet
 * @throws EmbeddedPostgresError when no way is found
 */
export async function chooseAccount(dataDir: string, cluster: string, binaries: Binaries): Promise<Account> {
  const clusterOwner = await stat(cluster).catch(() => undefined);
  const uid = process.getuid?.();
  if (uid !== 0) {
    if (uid !== undefined && clusterOwner && clusterOwner.uid !== uid)
      throw new EmbeddedPostgresError(
        `${cluster} belongs to the user with id ${clusterOwner.uid}: start as that user or as root, ${OR_OWN_POSTGRES}`,
      );
    return {
      owner: undefined,
      invocation: (command, args) => ({ command, args, options: { cwd: dataDir, env } }),
    };
  }
  // A cluster that root owns is a copy that root made; it goes to the system user like a new one.
  const owner =
    clusterOwner && clusterOwner.uid !== 0
      ? { uid: clusterOwner.uid, gid: clusterOwner.gid }
      : await postgresUser();
  const direct: Account["invocation"] = (command, args) => ({
    command,
    args,
    options: { cwd: dataDir, env, ...owner },
  });
  // Folders that are closed to that user (a checkout under /root, say) stay closed to others: only Postgres itself
  // keeps root's right to pass them.
  const privileged: Account["invocation"] = (command, args) => ({
    command: "setpriv",
    args: [
      `--reuid=${owner.uid}`,
      `--regid=${owner.gid}`,
      "--clear-groups",
      "--inh-caps=+dac_override",
      "--ambient-caps=+dac_override",
      "--securebits=+no_setuid_fixup",
      command,
      ...args,
    ],
    options: { cwd: dataDir, env },
  });
  const failures: string[] = [];
  for (const invocation of [direct, privileged]) {
    const failure = await tryOut(invocation, dataDir, binaries);
    if (failure === undefined) return { owner, invocation };
    failures.push(failure);
  }
  throw new EmbeddedPostgresError(
    `Postgres does not run as root, and the user with id ${owner.uid} can reach ${dataDir} and ${binaries.postgres} ` +
      `neither by itself nor through setpriv (${failures.join("; ")}): start as another user, open the folders ` +
      `above both to all (chmod o+x), ${OR_OWN_POSTGRES}`,
  );
}

/** Undefined when the data folder can be passed and the programs start; otherwise what was said. */
async function tryOut(
  invocation: Account["invocation"],
  dataDir: string,
  binaries: Binaries,
): Promise<string | undefined> {
  const script = 'test -x "$1" && exec "$2" --version';
  const { command, args, options } = invocation("sh", ["-c", script, "sh", dataDir, binaries.postgres]);
  try {
    await run(command, args, options);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.trim() : String(error);
  }
}

async function postgresUser(): Promise<Ids> {
  const found = await lookUp();
  if (found) return found;
  try {
    await run("groupadd", ["--system", "--force", "postgres"], { env });
    await run(
      "useradd",
      ["--system", "--gid", "postgres", "--no-create-home", "--shell", "/usr/sbin/nologin", "postgres"],
      { env },
    );
  } catch (cause) {
    // Another start may have made it in the same moment.
    const made = await lookUp();
    if (made) return made;
    throw new EmbeddedPostgresError(
      `Postgres does not run as root, and no system user "postgres" could be made: make one, start as another user, ${OR_OWN_POSTGRES}`,
      { cause },
    );
  }
  const made = await lookUp();
  if (!made) throw new EmbeddedPostgresError('the system user "postgres" was made but cannot be found');
  return made;
}

async function lookUp(): Promise<Ids | undefined> {
  try {
    const [uid, gid] = await Promise.all(
      ["-u", "-g"].map(async (which) =>
        wholeNumber((await run("id", [which, "postgres"], { env })).stdout.trim()),
      ),
    );
    return uid === undefined || gid === undefined ? undefined : { uid, gid };
  } catch {
    return undefined;
  }
}
