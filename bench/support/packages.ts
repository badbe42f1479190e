import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../src/package-root.ts";

/** Installs what benchmarks compare against, which the product does not need, unless it is there. Throws when it cannot be had. */
export function needPackage(name: string): void {
  const folder = join(packageRoot, "bench");
  const isThere = () => existsSync(join(folder, "node_modules", name, "package.json"));
  if (isThere()) return;
  console.log(`  installing ${name} …`);
  try {
    execFileSync("npm", ["ci", "--prefix", folder, "--no-audit", "--no-fund"], {
      stdio: ["ignore", "ignore", "inherit"],
    });
  } catch (cause) {
    throw new Error(`${name} cannot be installed: is there a network, or a registry?`, { cause });
  }
  if (!isThere()) throw new Error(`${name} is not among what bench/package.json installs`);
}
