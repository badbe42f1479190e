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

const FILE = join(packageRoot, "bench/RESULTS.md");
const HEAD = "# Measurements\n\nWritten by `npm run bench`; each chapter when its benchmark last ran.\n";

/** Puts a chapter into RESULTS.md, in the place of its older self. */
export function writeResult(result: Result): void {
  const file = existsSync(FILE) ? readFileSync(FILE, "utf8") : HEAD;
  const chapters = file.split(/^(?=<!-- [a-z-]+ -->$)/m);
  const others = chapters.filter((chapter) => !chapter.startsWith(`<!-- ${result.name} -->`));
  writeFileSync(FILE, `${[...others.map((chapter) => chapter.trim()), chapterOf(result)].join("\n\n")}\n`);
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
