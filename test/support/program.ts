import { extname } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * What Node is given to run a program of this package in a process of its own: its source, or compiled when the tests are.
 *
 * @param path of the program from the package's folder, without its extension
 */
export function programOf(path: string): string[] {
  const extension = extname(import.meta.filename);
  const file = fileURLToPath(new URL(`../../${path}${extension}`, import.meta.url));
  return extension === ".ts"
    ? ["--import", import.meta.resolve("tsx"), file]
    : ["--enable-source-maps", file];
}
