import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, test } from "node:test";
import postgres from "postgres";
import { packageRoot } from "../src/package-root.ts";
import { type EmbeddedOptions, type EmbeddedPostgres, startEmbedded } from "../src/store/embedded.ts";
import { until } from "./support/await.ts";

const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;
/** The capability to pass by a file's mode, as a bit. */
const DAC_OVERRIDE = 2;

/** Whether an ordinary user gets into a folder. A checkout under /root, say, is closed to them. */
async function isOpen(folder: string): Promise<boolean> {
  if (((await stat(folder)).mode & 0o001) === 0) return false;
  return folder === dirname(folder) || isOpen(dirname(folder));
}

let dataDir: string;
/** How to end what the test started, in the order in which it was started. */
let ends: (() => unknown)[];

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "muster-embedded-"));
  ends = [];
});

// The folder goes when all is ended: a test can have several servers on it, one after the other.
afterEach(async () => {
  for (const end of ends.reverse()) await end();
  await rm(dataDir, { recursive: true, force: true });
});

async function start(options: Partial<EmbeddedOptions> = {}): Promise<EmbeddedPostgres> {
  const embedded = await startEmbedded({ dataDir, onLog: () => {}, ...options });
  ends.push(embedded.stop);
  return embedded;
}

async function query<T>(url: string, run: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, fetch_types: false });
  try {
    return await run(sql);
  } finally {
    await sql.end();
  }
}

/** A server in a process of its own: starts Postgres, says its process id and waits. */
async function startElsewhere({ user }: { user?: number } = {}): Promise<{
  server: ChildProcess;
  said: string;
}> {
  const script = `
    import { startEmbedded } from ${JSON.stringify(join(packageRoot, "src/store/embedded.ts"))};
    try {
      const { pid } = await startEmbedded({ dataDir: ${JSON.stringify(dataDir)}, onLog() {} });
      console.log("running " + pid);
    } catch (error) { console.log(error.message) }
    setInterval(() => {}, 1000);`;
  const node = [process.execPath, "--import", "tsx", "--input-type=module", "-e", script];
  const [command = "", ...args] =
    user === undefined ? node : [...asUser(user, await isOpen(packageRoot)), ...node];
  const server = spawn(command, args, { cwd: packageRoot, stdio: ["ignore", "pipe", "inherit"] });
  ends.push(() => server.kill("SIGKILL"));
  const [said] = await once(createInterface({ input: server.stdout }), "line");
  return { server, said: String(said) };
}

/** Runs what follows as another user, who is let into this checkout even where it is closed to them. */
function asUser(user: number, mayEnter: boolean): string[] {
  const way = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"];
  return ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups", ...(mayEnter ? [] : way)];
}

const pidIn = (said: string) => Number(/^running (\d+)$/.exec(said)?.[1] ?? assert.fail(said));
const isAlive = async (pid: number) => {
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return status !== "" && !/^\d+ \(.*\) Z/.test(status);
};
const statusOf = async (pid: number, field: string) =>
  new RegExp(`^${field}:\\s+(\\S+)`, "m").exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1];

/** Waits for its end. It does not keep the process alive, so awaiting `exited` alone would let the process end. */
async function endOf({ exited }: EmbeddedPostgres): Promise<Awaited<EmbeddedPostgres["exited"]>> {
  let end: Awaited<typeof exited> | undefined;
  void exited.then((how) => {
    end = how;
  });
  return until(() => end, { what: "the end of Postgres" });
}

test("what was committed is there after a stop and a start", async () => {
  const first = await start();
  await query(first.url, (sql) => sql`create table kept as select 'ä' as word`);
  await first.stop();
  assert.equal(await isAlive(first.pid), false);
  const second = await start();
  const [row] = await query(second.url, (sql) => sql<{ word: string }[]>`select word from kept`);
  assert.equal(row?.word, "ä");
});

test("it is durable, only on the loopback, UTF-8 and the same on every machine", async () => {
  const { url } = await start();
  const setting = async (name: string) => {
    const [row] = await query(
      url,
      (sql) => sql<{ value: string }[]>`select current_setting(${name}) as value`,
    );
    return row?.value;
  };
  assert.equal(await setting("fsync"), "on");
  assert.equal(await setting("synchronous_commit"), "on");
  assert.equal(await setting("listen_addresses"), "127.0.0.1");
  assert.equal(await setting("unix_socket_directories"), "");
  assert.equal(await setting("server_encoding"), "UTF8");
  assert.equal(await setting("TimeZone"), "UTC");
  const [row] = await query(
    url,
    (sql) => sql<{ name: string; collate: string }[]>`
      select datname as name, datcollate as collate from pg_database where datname = current_database()`,
  );
  assert.deepEqual({ ...row }, { name: "muster", collate: "C" });
});

test("only its password opens it, and only its owner reads that", async () => {
  const { url } = await start();
  const wrong = new URL(url);
  wrong.password = "wrong";
  await assert.rejects(
    query(wrong.href, (sql) => sql`select 1`),
    { code: "28P01" },
  );
  const passwordFile = join(dataDir, "postgres.password");
  assert.equal((await stat(passwordFile)).mode & 0o777, 0o600);
  assert.equal(await readFile(passwordFile, "utf8"), new URL(url).password);
  assert.equal((await stat(join(dataDir, "postgres"))).mode & 0o777, 0o700);
});

test("a cluster without its password is refused with a word of what to do", async () => {
  await (await start()).stop();
  await rm(join(dataDir, "postgres.password"));
  await assert.rejects(
    startEmbedded({ dataDir, onLog: () => {} }),
    /postgres\.password cannot be read.*put it back/,
  );
});

test("root: in folders that are closed to others it runs as an ordinary user all the same", {
  skip: !isRoot,
}, async () => {
  const inner = join(dataDir, "closed", ".muster");
  await mkdir(join(dataDir, "closed"), { mode: 0o700 });
  const { pid, url } = await start({ dataDir: inner });
  assert.notEqual(await statusOf(pid, "Uid"), "0");
  await query(url, (sql) => sql`select 1`);
  assert.equal((await stat(join(dataDir, "closed"))).mode & 0o777, 0o700);
});

test("root: it runs with no more of root's rights than the way into its folders needs", {
  skip: !isRoot,
}, async () => {
  await chmod(dataDir, 0o755);
  const { pid } = await start();
  assert.notEqual(await statusOf(pid, "Uid"), "0");
  const needed = (await isOpen(packageRoot)) ? 0 : DAC_OVERRIDE;
  assert.equal(Number.parseInt((await statusOf(pid, "CapEff")) ?? "", 16), needed);
});

test("root: a cluster that another user made goes on as that user's", { skip: !isRoot }, async () => {
  await chown(dataDir, NOBODY, NOBODY);
  const { server, said } = await startElsewhere({ user: NOBODY });
  const theirs = pidIn(said);
  assert.equal(await statusOf(theirs, "Uid"), String(NOBODY));
  server.kill("SIGKILL");
  await once(server, "exit");
  const { pid } = await start();
  assert.notEqual(pid, theirs);
  assert.equal(await statusOf(pid, "Uid"), String(NOBODY));
});

test("a Postgres that a killed server left behind is ended, and nothing is lost", async () => {
  const { server, said } = await startElsewhere();
  const left = pidIn(said);
  server.kill("SIGKILL");
  await once(server, "exit");
  assert.equal(await isAlive(left), true);
  const { pid, url } = await start();
  assert.equal(await isAlive(left), false);
  assert.notEqual(pid, left);
  await query(url, (sql) => sql`select 1`);
});

test("a second server on the folder is refused, in this process and in another", async () => {
  const { url } = await start();
  await assert.rejects(
    startEmbedded({ dataDir, onLog: () => {} }),
    new RegExp(`process ${process.pid}\\b.*stop it`),
  );
  const { said } = await startElsewhere();
  assert.match(said, new RegExp(`another server \\(process ${process.pid}\\)`));
  await query(url, (sql) => sql`select 1`);
});

test("a failed start and a stop both give the folder free", async () => {
  await assert.rejects(
    startEmbedded({ dataDir, onLog: () => {}, flags: ["-c", "no_such_setting=1"] }),
    /no_such_setting/,
  );
  const first = await start();
  await Promise.all([first.stop(), first.stop()]);
  await start();
});

test("a pid file that names a process of another kind is no hindrance, and no harm to that", async () => {
  const first = await start();
  const pidFile = join(dataDir, "postgres", "postmaster.pid");
  const lines = (await readFile(pidFile, "utf8")).split("\n");
  await first.stop();
  const { uid, gid } = await stat(join(dataDir, "postgres"));
  // Of the same user, as Postgres would not fear one of another's.
  const stranger = spawn("sleep", ["600"], { stdio: "ignore", ...(isRoot ? { uid, gid } : {}) });
  ends.push(() => stranger.kill("SIGKILL"));
  await once(stranger, "spawn");
  await writeFile(pidFile, [stranger.pid, ...lines.slice(1)].join("\n"));
  const second = await start();
  await query(second.url, (sql) => sql`select 1`);
  assert.equal(await isAlive(stranger.pid ?? 0), true);
});

test("what a first start left unfinished is cleared away and begun anew", async () => {
  const unfinished = join(dataDir, "postgres.new-0123");
  await mkdir(unfinished);
  await writeFile(join(unfinished, "PG_VERSION"), "18\n");
  await start();
  assert.deepEqual((await readdir(dataDir)).sort(), ["postgres", "postgres.password", "server.lock"]);
});

test("its end is told when nobody asked for it, and stop then has nothing left to do", async () => {
  const embedded = await start();
  process.kill(embedded.pid, "SIGQUIT");
  const { code, signal } = await endOf(embedded);
  assert.ok(code !== null || signal !== null);
  await embedded.stop();
});

test("after a crash of Postgres itself it starts again on the port that is asked for", async () => {
  const first = await start();
  const port = Number(new URL(first.url).port);
  await query(first.url, (sql) => sql`create table kept as select 1 as one`);
  process.kill(first.pid, "SIGKILL");
  await endOf(first);
  await first.stop();
  const second = await start({ port });
  assert.equal(second.url, first.url);
  await query(second.url, (sql) => sql`select one from kept`);
});

test("its log reaches the server's, without what is in people's statements", async () => {
  const lines: string[] = [];
  const { url, pid } = await start({ onLog: (line) => lines.push(line) });
  assert.ok(lines.some((line) => line.includes("ready to accept connections")));
  await query(url, (sql) => assert.rejects(sql.unsafe("select 'a secret'::int")));
  // A line that comes after all that the statement can have caused.
  process.kill(pid, "SIGHUP");
  await until(() => lines.some((line) => line.includes("SIGHUP")), { what: "the log's last line" });
  assert.ok(!lines.join("\n").includes("secret"));
});
