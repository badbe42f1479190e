import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { build } from "esbuild";
import { packageRoot } from "../../src/package-root.ts";

/** A helper process of a benchmark, asked and answered by messages, one at a time. */
export class Child {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Starts `bench/support/<name>.ts`, which may collect garbage; resolves with its first message too. */
  static async start<T>(
    name: string,
    args: string[],
    nodeOptions: string[] = [],
  ): Promise<{ child: Child; first: T }> {
    const child = fork(await compiled(name), args, { execArgv: ["--expose-gc", ...nodeOptions] });
    const [first] = await Promise.race([
      once(child, "message"),
      once(child, "exit").then(([code]) => {
        throw new Error(`bench/support/${name}.ts ended with ${code}`);
      }),
    ]);
    return { child: new Child(child), first };
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  tell(message: object): void {
    this.#child.send(message);
  }

  async ask<T>(message: object): Promise<T> {
    const answer = once(this.#child, "message");
    this.#child.send(message);
    const [value] = await answer;
    return value;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.disconnect();
    await exited;
  }
}

/**
 * Compiled before it starts, as our server is: what compiles on the way stays in memory, and gives it back when it likes.
 * What the server's threads run lies beside it.
 */
async function compiled(name: string): Promise<string> {
  const outdir = join(packageRoot, "bench/.compiled");
  await build({
    entryPoints: {
      [name]: join(packageRoot, "bench/support", `${name}.ts`),
      "render-worker": join(packageRoot, "src/gateways/templates/render-worker.ts"),
    },
    outdir,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    logLevel: "warning",
  });
  return join(outdir, `${name}.js`);
}
