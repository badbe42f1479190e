import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "../../src/client/index.ts";
import { createLog } from "../../src/log.ts";
import { packageRoot } from "../../src/package-root.ts";
import { closeDatabase, type Database, openDatabase } from "../../src/store/database.ts";
import { keepEmbedded } from "../../src/store/kept-postgres.ts";
import type { FleetPlace } from "../../test/support/fleet.ts";
import { freePort } from "../../test/support/free-port.ts";
import { collectGarbageAt } from "./collect-garbage.ts";

/** A start reads every agent; with a million it takes a while. */
const READY_MS = 60_000;

/** A server in a process of its own, with an embedded Postgres that syncs to disk as in real life. */
export interface BenchServer {
  url: string;
  token: string;
  pid: number;
  /** How long it took until it was ready, in milliseconds. */
  startedInMs: number;
  /** Resident memory of the server's process, in bytes. */
  memoryBytes(): Promise<number>;
  /** The same when it has collected its garbage; for a server that was started as `inspected`. */
  restingBytes(): Promise<number>;
  /** CPU time that the server's process has used so far, in seconds. */
  cpuSeconds(): Promise<number>;
  /** Ends the process and starts another on the same data; this one is not to be used any more. */
  restart(): Promise<BenchServer>;
  stop(): Promise<void>;
}

export interface BenchServerOptions {
  environment?: Record<string, string>;
  /** Lets its garbage be collected from outside. */
  inspected?: boolean;
  /** Room for what is young on its heap, in MB, instead of what a server has. */
  youngMb?: number;
  /** Fills the database before the server starts on it. */
  fill?: (database: Database, place: FleetPlace) => Promise<void>;
}

/** Starts a server from the compiled code, as `npm start` does. With BENCH_PROFILE=FOLDER it leaves a CPU profile there. */
export async function startBenchServer({
  environment = {},
  inspected = false,
  youngMb,
  fill,
}: BenchServerOptions = {}) {
  const inspector = inspected ? await freePort() : undefined;
  const dataDir = await mkdtemp(join(tmpdir(), "muster-bench-"));
  const port = String(await freePort());
  const clean = () => rm(dataDir, { recursive: true, force: true });
  const run = async (): Promise<BenchServer> => {
    const began = performance.now();
    const { child, url, token } = await startOn(
      dataDir,
      { ...environment, PORT: port },
      { inspector, youngMb },
    );
    const startedInMs = performance.now() - began;
    const pid = child.pid ?? 0;
    return {
      url,
      token,
      pid,
      startedInMs,
      cpuSeconds: () => cpuSeconds(pid),
      memoryBytes: () => memoryBytes(pid),
      async restingBytes() {
        if (inspector === undefined) throw new Error("the server was not started as inspected");
        await collectGarbageAt(inspector);
        return memoryBytes(pid);
      },
      async restart() {
        await end(child);
        return run();
      },
      async stop() {
        const hasDied = child.exitCode !== null || child.signalCode !== null;
        await end(child);
        // The Postgres that it has left ends with one that takes its place.
        if (hasDied) await (await keepEmbedded({ dataDir, log: createLog("silent") })).stop();
        await clean();
      },
    };
  };
  try {
    if (fill) {
      const empty = await startOn(dataDir, { ...environment, PORT: port });
      const place = await makePlace(empty).finally(() => end(empty.child));
      await fillDatabase(dataDir, (database) => fill(database, place));
    }
    return await run();
  } catch (error) {
    await clean();
    throw error;
  }
}

async function startOn(
  dataDir: string,
  environment: Record<string, string>,
  { inspector, youngMb }: { inspector?: number | undefined; youngMb?: number | undefined } = {},
) {
  const main = join(packageRoot, "dist/src/cli/main.js");
  const profile = process.env.BENCH_PROFILE;
  // Started by its own first line, which has its settings for Node.js.
  const [firstLine = ""] = (await readFile(main, "utf8")).split("\n", 1);
  const settings = firstLine.split(" ").filter((word) => word.startsWith("--"));
  // The last word counts.
  if (youngMb !== undefined) settings.push(`--max-semi-space-size=${youngMb}`);
  if (inspector !== undefined)
    settings.push(`--inspect=127.0.0.1:${inspector}`, "--inspect-publish-uid=http");
  if (profile) settings.push("--cpu-prof", `--cpu-prof-dir=${profile}`);
  const child = spawn(process.execPath, [...settings, main, "serve", "--empty"], {
    env: { ...process.env, MUSTER_DATA_DIR: dataDir, LOG_LEVEL: "warn", ...environment },
    stdio: ["ignore", "inherit", "inherit"],
  });
  try {
    return { child, ...(await credentials(child, join(dataDir, "credentials.json"))) };
  } catch (error) {
    await end(child);
    throw error;
  }
}

async function makePlace({ url, token }: { url: string; token: string }): Promise<FleetPlace> {
  const owner = await connect({ url, token });
  try {
    const { gateway } = await owner.request("gateway.create", { name: "Bench", kind: "direct" });
    const { board } = await owner.request("board.create", { name: "Bench", gateway_id: gateway.id });
    return { organizationId: board.organization_id, boardId: board.id, gatewayId: gateway.id };
  } finally {
    await owner.close();
  }
}

async function fillDatabase(dataDir: string, fill: (database: Database) => Promise<void>): Promise<void> {
  const postgres = await keepEmbedded({ dataDir, log: createLog("silent") });
  const database = openDatabase(postgres.url, { maxConnections: 1 });
  try {
    await fill(database);
    await database`vacuum analyze`;
  } finally {
    await closeDatabase(database);
    await postgres.stop();
  }
}

async function credentials(child: ChildProcess, file: string): Promise<{ url: string; token: string }> {
  for (const deadline = Date.now() + READY_MS; Date.now() < deadline; await pause(50)) {
    if (child.exitCode !== null)
      throw new Error(`the server ended with ${child.exitCode} before it was ready`);
    const kept: { url: string; token: string } | undefined = await readFile(file, "utf8").then(
      JSON.parse,
      () => undefined,
    );
    if (
      kept &&
      (await fetch(`${kept.url}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      ))
    )
      return kept;
  }
  throw new Error(`the server was not ready within ${READY_MS} ms`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}

/** Clock ticks a second in /proc, fixed on Linux. */
const TICKS = 100;

/** CPU time that a process has used so far, in seconds. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Resident memory of a process, in bytes. */
export async function memoryBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1]) * 1_024;
}
