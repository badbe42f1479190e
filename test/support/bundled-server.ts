import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { packageRoot } from "../../src/package-root.ts";

/**
 * Makes one file of the server that can be crashed, and returns its path: it starts in a third of the time, which counts where
 * it is started over and over. It runs no local agents, as their program is looked for beside the source.
 */
export async function bundledServer(): Promise<string> {
  // Below the package, so that its packages and its SQL are found from there.
  const outfile = join(packageRoot, "node_modules/.cache/muster/crashing-server.mjs");
  await build({
    entryPoints: [fileURLToPath(new URL("crashing-server.ts", import.meta.url))],
    outfile,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    logLevel: "warning",
  });
  return outfile;
}
