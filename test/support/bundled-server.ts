import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { build } from "esbuild";
import { packageRoot } from "../../src/package-root.ts";

/**
 * Makes one file of the server that can be crashed, for this test, and returns its path: it starts sooner than from many
 * files, which counts where it is started over and over. It runs no local agents, as their program is looked for beside
 * the source.
 */
export const bundledServer = (t: TestContext): Promise<string> => bundled(t, "crashing-server");

/** Makes one file of a program in this folder, and beside it what its threads run; returns its path. Gone with the test. */
export async function bundled(t: TestContext, name: string): Promise<string> {
  // Below the package, so that its packages and its SQL are found from there, and gone with the compiled tests.
  const folder = await mkdtemp(join(import.meta.dirname, ".tests-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await build({
    entryPoints: {
      [name]: join(packageRoot, "test/support", `${name}.ts`),
      "render-worker": join(packageRoot, "src/gateways/templates/render-worker.ts"),
    },
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    logLevel: "warning",
  });
  return join(folder, `${name}.mjs`);
}
