import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { programOf } from "./program.ts";

/** A running `muster`, in a folder of its own so that no kept credentials are found by chance. */
export class Muster {
  readonly child: ChildProcessWithoutNullStreams;
  out = "";
  err = "";
  #heard: (() => void)[] = [];

  constructor(
    t: TestContext,
    words: string[],
    environment: Record<string, string> = {},
    { descriptors }: { descriptors?: number } = {},
  ) {
    const { PATH } = process.env;
    const program = [process.execPath, ...programOf("src/cli/main"), ...words];
    const limited = ["sh", "-c", `ulimit -n ${descriptors}; exec "$@"`, "sh", ...program];
    const [file = "", ...args] = descriptors === undefined ? program : limited;
    this.child = spawn(file, args, {
      cwd: folder(t),
      env: { PATH, ...environment },
    });
    t.after(() => this.child.kill("SIGKILL"));
    this.child.stdout.on("data", (text) => this.#hear(() => (this.out += text)));
    this.child.stderr.on("data", (text) => this.#hear(() => (this.err += text)));
    this.child.on("exit", () => this.#hear(() => {}));
  }

  /** Waits until its output matches. */
  async says(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.out)) {
      assert.equal(this.child.exitCode, null, `exited before it said ${pattern}: ${this.out}${this.err}`);
      await new Promise<void>((resolve) => this.#heard.push(resolve));
    }
  }

  async done(): Promise<{ code: number | null; out: string; err: string }> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "close");
    return { code: this.child.exitCode, out: this.out, err: this.err };
  }

  #hear(take: () => void): void {
    take();
    for (const tell of this.#heard.splice(0)) tell();
  }
}

/** An empty folder for one test. */
export function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "muster-cli-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Runs `muster` to its end, with nothing on standard input. */
export function run(t: TestContext, words: string[], environment?: Record<string, string>) {
  const muster = new Muster(t, words, environment);
  muster.child.stdin.end();
  return muster.done();
}
