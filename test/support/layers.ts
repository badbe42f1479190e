import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { packageRoot } from "../../src/package-root.ts";

/*
 * Holds the layers: imports go down only. Each layer names what it may import besides itself and the leaves, which are the
 * files directly under src/ that are no layer.
 */
const LAYERS: Record<string, readonly string[]> = {
  machines: [],
  "src/protocol": ["machines"],
  "src/auth": ["src/protocol", "machines"],
  "src/gateways": ["src/store", "src/auth", "src/protocol", "machines"],
  "src/store": ["src/auth", "src/protocol", "machines"],
  "src/actors": ["src/gateways", "src/store", "src/auth", "src/protocol", "machines"],
  "src/live": ["src/gateways", "src/store", "src/auth", "src/protocol", "machines"],
  "src/commands": [
    "src/actors",
    "src/live",
    "src/gateways",
    "src/store",
    "src/auth",
    "src/protocol",
    "machines",
  ],
  "src/edge": ["src/commands", "src/actors", "src/live", "src/store", "src/auth", "src/protocol", "machines"],
  "src/client": ["src/protocol", "machines"],
};
/** The top of the program: these may import everything, and nothing but them imports them. */
const TOPS = ["src/cli", "src/server.ts", "src/first-start.ts", "src/housekeeping.ts", "src/resealing.ts"];
/** What only one place may touch. */
const KEPT_TO: Record<string, string> = {
  postgres: "src/store",
  "uWebSockets.js": "src/edge",
  liquidjs: "src/gateways/templates",
};
/** Files of ours that only one other may import: what they do must not happen in the server's own thread. */
const THREADED: Record<string, string> = {
  "src/gateways/templates/hostile.ts": "src/gateways/templates/render-worker.ts",
};

/** What programs load into a page: nothing that it imports by value, near or far, may be one of these packages. */
const LIGHT = { entry: "src/client/index.ts", without: ["zod"] };

const IMPORT = /(?:from|import)\s*\(?\s*"([^"]+)"/g;
/** Imports and re-exports that are still there at run time. */
const VALUE_IMPORT =
  /^(?:import|export)\s+(?!type\b)(?:[^;"]*?\sfrom\s+)?"([^"]+)"|\bimport\s*\(\s*"([^"]+)"\s*\)/gm;

const wrong: string[] = [];
for (const file of sourceFiles()) {
  const text = readFileSync(join(packageRoot, file), "utf8");
  for (const [, target] of text.matchAll(IMPORT)) {
    if (target === undefined) continue;
    const problem = target.startsWith(".") ? problemOf(file, target) : problemOfPackage(file, target);
    if (problem) wrong.push(`${file}: ${problem}`);
  }
}
wrong.push(...heavyImports());
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}

function sourceFiles(): string[] {
  return ["src", "machines"].flatMap((folder) =>
    readdirSync(join(packageRoot, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => relative(packageRoot, join(entry.parentPath, entry.name))),
  );
}

/** The heavy packages that the light entry reaches, each with the way to it. */
function heavyImports(): string[] {
  const found: string[] = [];
  const ways = new Map([[LIGHT.entry, LIGHT.entry]]);
  for (const [file, way] of ways)
    for (const [, plain, dynamic] of readFileSync(join(packageRoot, file), "utf8").matchAll(VALUE_IMPORT)) {
      const target = plain ?? dynamic ?? "";
      if (LIGHT.without.some((name) => target === name || target.startsWith(`${name}/`)))
        found.push(`${way} -> ${target}: the SDK must not load ${target} (import its types only)`);
      if (!target.startsWith(".")) continue;
      const imported = relative(packageRoot, resolve(packageRoot, dirname(file), target));
      if (!ways.has(imported)) ways.set(imported, `${way} -> ${imported}`);
    }
  return found;
}

function layerOf(file: string): string {
  const top = TOPS.find((name) => file === name || file.startsWith(`${name}/`));
  if (top) return "top";
  return Object.keys(LAYERS).find((layer) => file.startsWith(`${layer}/`)) ?? "leaf";
}

function problemOf(file: string, target: string): string | undefined {
  const imported = relative(packageRoot, resolve(packageRoot, dirname(file), target));
  const thread = THREADED[imported];
  if (thread && thread !== file)
    return `only ${thread} may import ${imported}: it is for a thread of its own`;
  if (Object.values(THREADED).includes(imported))
    return `${imported} is what a thread runs: nothing imports it`;
  const from = layerOf(file);
  const to = layerOf(imported);
  if (from === "top" || from === to) return undefined;
  if (to === "top") return `${imported} stands above: nothing below may import it`;
  if (from === "leaf")
    return to === "leaf" || to === "src/protocol" || to === "machines"
      ? undefined
      : `a file directly under src/ may import only its like, protocol and machines, not ${imported}`;
  if (to === "leaf")
    return from === "machines" ? `machines are pure: they must not import ${imported}` : undefined;
  if (LAYERS[from]?.includes(to)) return undefined;
  return `${from} must not import ${imported} (${to}): imports go down only`;
}

function problemOfPackage(file: string, name: string): string | undefined {
  const keeper = KEPT_TO[name];
  if (keeper && !file.startsWith(`${keeper}/`)) return `only ${keeper} may import ${name}`;
  if (layerOf(file) === "machines" && name !== "xstate")
    return `machines are pure: they must not import ${name}`;
  return undefined;
}
