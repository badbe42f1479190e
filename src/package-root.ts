import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of this package: the same whether the code runs from `src/` or, compiled, from `dist/`. */
export const packageRoot: string = (() => {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder))
    if (existsSync(join(folder, "package.json")) && existsSync(join(folder, "sql"))) return folder;
    else if (folder === dirname(folder))
      throw new Error("the package's own package.json was not found above its code");
})();

/** The version in `package.json`. */
export const version: string = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")).version;
