import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../src/package-root.ts";

/**
 * Compiles the package with its tests into a folder of its own, laid out as the package is, and returns that: the tests
 * start hundreds of processes, and each takes half as long to start as from the source. Types are not looked at.
 *
 * @throws Error when the compiler finds fault, which it has told
 */
export async function compilePackage(): Promise<string> {
  // Below the package, so that its packages and its SQL are found from there.
  const folder = mkdtempSync(join(packageRoot, ".tests-"));
  const compiler = spawn(
    join(packageRoot, "node_modules/.bin/tsc"),
    ["--noCheck", "--declaration", "false", "--outDir", folder],
    // In a process group of its own, so that Ctrl-C lets it end: what it still writes would stay behind.
    { cwd: packageRoot, stdio: "inherit", detached: true },
  );
  try {
    const [code] = await once(compiler, "exit");
    if (code !== 0) throw new Error("the package was not compiled");
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return folder;
}
