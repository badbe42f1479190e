import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, realpath } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { closeDatabase, openDatabase } from "./database.ts";
import { type Account, chooseAccount } from "./embedded/account.ts";
import { type Binaries, findBinaries } from "./embedded/binaries.ts";
import { ensureCluster, NAME } from "./embedded/cluster.ts";
import { EmbeddedPostgresError } from "./embedded/error.ts";
import { FAST_SHUTDOWN_MS, stopLeftover } from "./embedded/leftover.ts";
import { lockDataDir } from "./embedded/lock.ts";

export { EmbeddedPostgresError };

export interface EmbeddedOptions {
  /** Made if it is not there. The cluster lies in its folder `postgres`, the password in `postgres.password`. */
  dataDir: string;
  /** Takes each line that Postgres writes to its log, without its end. */
  onLog: (line: string) => void;
  /** On the loopback; by default any free one. */
  port?: number;
  /** More arguments for the `postgres` program. */
  flags?: readonly string[];
}

export interface EmbeddedPostgres {
  /** Of the database `muster`, which exists. */
  url: string;
  port: number;
  pid: number;
  /** Resolves when Postgres ends without having been asked to by `stop`, with how it ended. */
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Ends Postgres, waits for it and gives the data folder free. Calling it again does nothing more. */
  stop(): Promise<void>;
}

const READY = "database system is ready to accept connections";
const READY_TIMEOUT_MS = 60_000;
/** What a start can die of that is over a moment later: somebody took the port, an earlier one is just going. */
const PASSING = /could not bind|Address already in use|lock file .* already exists|shared memory block/;
const ATTEMPTS = 5;
const PAUSE_BETWEEN_ATTEMPTS_MS = 200;
const LINES_KEPT = 20;

const SETTINGS = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "50",
  shared_buffers: "128MB",
  max_wal_size: "2GB",
  // Nobody replicates from here, so less needs to be written.
  wal_level: "minimal",
  max_wal_senders: "0",
  // What was acknowledged is on the disk.
  fsync: "on",
  synchronous_commit: "on",
  timezone: "UTC",
  log_timezone: "UTC",
  log_line_prefix: "",
  log_checkpoints: "off",
  // A statement's failure is its caller's to report; here it would put people's data into the log.
  log_min_messages: "log",
  log_min_error_statement: "panic",
};

/**
 * Runs the Postgres that npm brought, on this data folder, until `stop` is called. A cluster is made when there is
 * none; a Postgres that a crashed server left behind is ended first. It does not keep this process alive by itself.
 *
 * @throws EmbeddedPostgresError when it cannot run here, or another server runs on the folder
 */
export async function startEmbedded(given: EmbeddedOptions): Promise<EmbeddedPostgres> {
  await mkdir(given.dataDir, { recursive: true, mode: 0o700 });
  const dataDir = await realpath(given.dataDir);
  const unlock = lockDataDir(dataDir);
  try {
    const cluster = join(dataDir, "postgres");
    const binaries = await findBinaries();
    const account = await chooseAccount(dataDir, cluster, binaries);
    const password = await ensureCluster(dataDir, cluster, binaries, account);
    const { child, port } = await startPostgres(cluster, binaries, account, given);
    const stop = stopper(child, unlock);
    const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
      child.once("exit", (code, signal) => {
        if (!stop.asked()) resolve({ code, signal });
      }),
    );
    const url = `postgres://${NAME}:${password}@127.0.0.1:${port}`;
    try {
      await ensureDatabase(`${url}/postgres`);
    } catch (error) {
      await stop.run();
      throw error;
    }
    return { url: `${url}/${NAME}`, port, pid: child.pid ?? 0, exited, stop: stop.run };
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Starts it and waits until it takes connections. */
async function startPostgres(
  cluster: string,
  binaries: Binaries,
  account: Account,
  { onLog, port: wantedPort, flags = [] }: EmbeddedOptions,
): Promise<{ child: ChildProcess; port: number }> {
  for (let attempt = 1; ; attempt += 1) {
    await stopLeftover(cluster);
    const port = wantedPort ?? (await freePort());
    const settings = Object.entries({ ...SETTINGS, port }).flatMap(([name, value]) => [
      "-c",
      `${name}=${value}`,
    ]);
    const { command, args, options } = account.invocation(binaries.postgres, [
      "-D",
      cluster,
      ...settings,
      ...flags,
    ]);
    const child = spawn(command, args, {
      ...options,
      stdio: ["ignore", "ignore", "pipe"],
      // A group of its own: Ctrl+C in a terminal reaches our whole group, and Postgres must outlive our last writes.
      detached: true,
    });
    endWithProcess(child);
    const outcome = await readiness(child, onLog);
    if (outcome.ready) return { child, port };
    const words = outcome.lastLines.join("\n");
    if (attempt === ATTEMPTS || !PASSING.test(words))
      throw new EmbeddedPostgresError(`Postgres did not start: ${words || "it said nothing"}`);
    await pause(PAUSE_BETWEEN_ATTEMPTS_MS);
  }
}

/** However this process comes to exit, save by a signal that nobody catches, it asks Postgres to end as its last act. */
function endWithProcess(child: ChildProcess): void {
  const ask = () => child.kill("SIGINT");
  process.once("exit", ask);
  child.once("exit", () => process.removeListener("exit", ask));
}

type Readiness = { ready: true } | { ready: false; lastLines: string[] };

function readiness(child: ChildProcess, onLog: (line: string) => void): Promise<Readiness> {
  return new Promise((resolve) => {
    const lastLines: string[] = [];
    const keep = (line: string) => {
      lastLines.push(line);
      if (lastLines.length > LINES_KEPT) lastLines.shift();
    };
    const timer = setTimeout(() => {
      keep(`not ready within ${READY_TIMEOUT_MS / 1000} seconds`);
      child.kill("SIGQUIT");
    }, READY_TIMEOUT_MS);
    child.once("error", (error) => {
      keep(error.message);
      clearTimeout(timer);
      resolve({ ready: false, lastLines });
    });
    // "close" comes after the last line has been read, "exit" may come before.
    child.once("close", () => {
      clearTimeout(timer);
      resolve({ ready: false, lastLines });
    });
    if (!child.stderr) return;
    createInterface({ input: child.stderr }).on("line", (line) => {
      keep(line);
      onLog(line);
      if (!line.includes(READY)) return;
      clearTimeout(timer);
      keepAlive(child, false);
      resolve({ ready: true });
    });
  });
}

/** Whether the process and its log keep ours from ending. */
function keepAlive(child: ChildProcess, alive: boolean): void {
  const handles: unknown[] = [child, child.stderr];
  for (const handle of handles)
    if (isReferable(handle)) {
      if (alive) handle.ref();
      else handle.unref();
    }
}

function isReferable(handle: unknown): handle is { ref(): void; unref(): void } {
  return typeof handle === "object" && handle !== null && "ref" in handle && "unref" in handle;
}

function stopper(
  child: ChildProcess,
  unlock: () => void,
): { run: () => Promise<void>; asked: () => boolean } {
  let stopping: Promise<void> | undefined;
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      keepAlive(child, true);
      const gone = once(child, "exit");
      child.kill("SIGINT");
      const impatient = setTimeout(() => child.kill("SIGQUIT"), FAST_SHUTDOWN_MS);
      await gone;
      clearTimeout(impatient);
    }
    unlock();
  };
  return {
    run: () => {
      stopping ??= stop();
      return stopping;
    },
    asked: () => stopping !== undefined,
  };
}

async function ensureDatabase(adminUrl: string): Promise<void> {
  const admin = openDatabase(adminUrl, { maxConnections: 1 });
  try {
    const [found] = await admin`select from pg_database where datname = ${NAME}`;
    if (!found) await admin`create database ${admin(NAME)}`;
  } finally {
    await closeDatabase(admin);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("a listening socket has no port");
  return address.port;
}
