import { once } from "node:events";
import { showJson } from "./text.ts";

/** Ends the program quietly when whoever reads its output has gone, like `head` does. */
export function quietOnBrokenPipe(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
}

/** Writes a line; resolves when there is room for the next. */
export async function printLine(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, "drain");
}

/** Writes a value as JSON: laid out in a terminal, on one line otherwise. */
export function printJson(value: unknown): Promise<void> {
  return printLine(process.stdout.isTTY ? showJson(value, 2) : JSON.stringify(value));
}
