import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { packageRoot, version } from "../../src/package-root.ts";

export interface Row {
  what: string;
  ours: string;
  reference: string;
  /** Ours over the reference, or null where there is none. */
  ratio: number | null;
  /** Whether it is as it must be. */
  holds: boolean;
}

/** What one benchmark has measured: a chapter of RESULTS.md. */
export interface Result {
  name: string;
  title: string;
  /** A picture beside RESULTS.md that belongs to it. */
  chart?: string;
  rows: Row[];
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** The value below which so many of a hundred lie. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;
}

/** How fast the second of each pair rises with the first, by least squares. */
export function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (of: 0 | 1) => points.reduce((sum, point) => sum + point[of], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  let across = 0;
  let along = 0;
  for (const [at, value] of points) {
    across += (at - x) * (value - y);
    along += (at - x) ** 2;
  }
  return across / along;
}

const FILE = join(packageRoot, "bench/RESULTS.md");
const HEAD =
  "# Measurements\n\nWritten by `npm run bench` and `npm run soak`; each chapter when its benchmark last ran.\n";

/** Runs a benchmark, says what came of it, and writes that down. The process ends with 1 when it does not hold what it must. */
export async function report(name: string, run: () => Promise<Result>): Promise<void> {
  console.log(`${name} …`);
  const began = performance.now();
  try {
    const result = await run();
    writeResult(result);
    console.log(`  in ${Math.round((performance.now() - began) / 1_000)} s`);
    for (const { what, ours, reference, ratio, holds } of result.rows) {
      console.log(
        `  ${holds ? "✔" : "✖"} ${what}: ${ours} (${reference}${ratio === null ? "" : `, ${ratio.toFixed(2)}`})`,
      );
      if (!holds) process.exitCode = 1;
    }
  } catch (error) {
    console.error(`${name} could not run:`, error);
    process.exitCode = 1;
  }
}

/** Puts a chapter into RESULTS.md, in the place of its older self. */
export function writeResult(result: Result): void {
  const file = existsSync(FILE) ? readFileSync(FILE, "utf8") : HEAD;
  const chapters = file.split(/^(?=<!-- [a-z-]+ -->$)/m);
  const place = chapters.findIndex((chapter) => chapter.startsWith(`<!-- ${result.name} -->`));
  chapters.splice(place === -1 ? chapters.length : place, place === -1 ? 0 : 1, chapterOf(result));
  writeFileSync(FILE, `${chapters.map((chapter) => chapter.trim()).join("\n\n")}\n`);
}

function chapterOf({ name, title, chart, rows }: Result): string {
  const cpu = cpus();
  const lines = [
    ["what", "ours", "reference", "ratio", "holds"],
    ...rows.map(({ what, ours, reference, ratio, holds }) => [
      what,
      ours,
      reference,
      ratio === null ? "" : ratio.toFixed(2),
      holds ? "yes" : "**no**",
    ]),
  ];
  // Padded as the formatter has it.
  const widths = (lines[0] ?? []).map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  const [head = "", ...table] = lines.map(
    (line) => `| ${line.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`,
  );
  return [
    `<!-- ${name} -->`,
    `## ${title}`,
    "",
    `${new Date().toISOString().slice(0, 10)}, Muster ${version}, Node ${process.versions.node}, Linux ${release()}, ` +
      `${cpu.length} × ${cpu[0]?.model.trim()}`,
    ...(chart === undefined ? [] : ["", `![${title}](${chart})`]),
    "",
    head,
    `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`,
    ...table,
  ].join("\n");
}
