import { once } from "node:events";
import { showUnseenInLines } from "../unseen.ts";
import { showJson } from "./text.ts";

/** Nobody reads any more: the other end of a pipe or a socket is closed, or the terminal is. */
const GONE = new Set(["EPIPE", "EIO", "ECONNRESET"]);

/** Whether a write failed because whoever would read has gone, like `head` does. */
export function isReaderGone(error: NodeJS.ErrnoException): boolean {
  return GONE.has(error.code ?? "");
}

let onError = (error: NodeJS.ErrnoException): void => {
  if (isReaderGone(error)) process.exit(0);
  printNote(`error: cannot write the output: ${error.message}`);
  process.exit(1);
};

/** Keeps a failed write from ending the program with a stack. To be called once, before anything is written. */
export function guardOutput(): void {
  process.stdout.on("error", (error) => onError(error));
  // Of a failure to tell of a failure nobody can be told.
  process.stderr.on("error", () => {});
}

/** What is to happen when standard output cannot be written, instead of the end of the program. It can be told often. */
export function onOutputError(act: (error: NodeJS.ErrnoException) => void): void {
  onError = act;
}

/** Writes a line, or several. What cannot be seen in it is escaped, as it may come from anywhere. */
export function print(line: string): void {
  process.stdout.write(`${showUnseenInLines(line)}\n`);
}

/** As `print`; resolves when there is room for the next. */
export async function printLine(line: string): Promise<void> {
  print(line);
  if (process.stdout.writableNeedDrain) await once(process.stdout, "drain");
}

/** Writes a value as JSON: laid out in a terminal, on one line otherwise. */
export function printJson(value: unknown): Promise<void> {
  return printLine(showJson(value, process.stdout.isTTY ? 2 : undefined));
}

/** Writes a line, or several, to standard error, as `print` does. */
export function printNote(line: string): void {
  process.stderr.write(`${showUnseenInLines(line)}\n`);
}
