import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../src/package-root.ts";

export const README = readFileSync(join(packageRoot, "README.md"), "utf8");

/** The text under a heading, up to the next one of any level. */
export function section(heading: string): string {
  const [, after] = README.split(new RegExp(`^#+ ${heading}$`, "m"));
  const [text] = (after ?? "").split(/^#+ /m);
  if (!text) throw new Error(`the README has no section ${heading}`);
  return text;
}

/** The rows of the table in a section, without its head, as texts without code marks. */
export function tableOf(heading: string): string[][] {
  const rows = section(heading)
    .split("\n")
    .filter((line) => line.startsWith("|"));
  return rows.slice(2).map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll("`", "")),
  );
}

/** The fenced blocks of a language, each with what follows it on its first line. */
export function blocksOf(language: string): { label: string; text: string }[] {
  const fence = new RegExp(`^\`\`\`${language}(?: (\\w+))?\\n([\\s\\S]*?)^\`\`\`$`, "gm");
  return [...README.matchAll(fence)].map(([, label = "", text = ""]) => ({ label, text }));
}

/** What the words in capitals stand for. */
export type Bindings = Map<string, unknown>;

/** A line of an example with what is known of its words in capitals, as JSON; `…` is left as text. */
export function fillIn(line: string, bindings: Bindings): string {
  let text = line.replace(/,…(?=[}\]])/g, "").replace(/:…(?=[,}])/g, ':"…"');
  for (const [word, value] of bindings)
    text = text
      .replaceAll(`"${word}"`, JSON.stringify(value))
      .replace(new RegExp(`\\b${word}\\b`, "g"), String(value));
  return text;
}

const WORD = /^[A-Z]+(_[A-Z]+)*$/;

/**
 * Whether a message is what an example shows: all that is shown must be there, `…` is anything, and a word in capitals
 * that is not bound yet is bound by it.
 */
export function isShown(shown: unknown, actual: unknown, bindings: Bindings): boolean {
  if (typeof shown === "string") {
    if (WORD.test(shown) && !bindings.has(shown) && actual !== undefined) {
      bindings.set(shown, actual);
      return true;
    }
    if (shown === "…") return actual !== undefined;
    if (!shown.includes("…") || typeof actual !== "string") return shown === actual;
    const [start = "", end = ""] = shown.split("…");
    return actual.startsWith(start) && actual.endsWith(end);
  }
  if (typeof shown !== "object" || shown === null) return shown === actual;
  if (typeof actual !== "object" || actual === null) return false;
  if (Array.isArray(shown) && (!Array.isArray(actual) || shown.length !== actual.length)) return false;
  const values: Record<string, unknown> = { ...actual };
  return Object.entries(shown).every(([key, value]) => isShown(value, values[key], bindings));
}
