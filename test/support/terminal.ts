import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { until } from "./await.ts";
import { folder } from "./muster-process.ts";

/** A program that runs in a terminal of its own. */
export interface InTerminal {
  /** Who holds the terminal's other end; when it is killed the terminal is closed. */
  holder: ChildProcess;
  /** What the terminal shows. */
  shown: () => string;
  /** Waits for the program's end and gives its exit code, 128 and more for a signal. */
  code: () => Promise<number>;
}

/** Runs Node in a terminal that `script` (of every Linux) makes. */
export function inTerminal(t: TestContext, args: string[], environment: Record<string, string>): InTerminal {
  const result = join(folder(t), "code");
  // The shell hands the terminal's end on, as shells do, and lives on to tell how the program has ended.
  const command = `${[process.execPath, ...args].map(quoted).join(" ")} & pid=$!
    trap 'kill -HUP $pid' HUP
    while kill -0 $pid; do wait $pid; code=$?; done 2>/dev/null
    echo $code > ${quoted(result)}`;
  const { PATH } = process.env;
  const holder = spawn("script", ["-qfc", command, "/dev/null"], {
    env: { PATH, SHELL: "/bin/sh", ...environment },
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(() => holder.kill("SIGKILL"));
  let text = "";
  holder.stdout.on("data", (chunk) => {
    text += chunk;
  });
  return {
    holder,
    shown: () => text,
    async code() {
      const read = async () => (await readFile(result, "utf8").catch(() => "")).trim() || undefined;
      return Number(await until(read, { what: "the program's end", timeoutMs: 30_000 }));
    },
  };
}

const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
