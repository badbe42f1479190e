import { chown, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { closeDatabase, openDatabase } from "../../src/store/database.ts";
import { startEmbedded } from "../../src/store/embedded.ts";
import { SELF_SIGNED } from "./self-signed.ts";

/** A Postgres of a test's own that speaks TLS, with the certificate of `SELF_SIGNED`. */
export interface TlsPostgres {
  /** Says nothing of `sslmode`. */
  url: string;
  /** The certificate's file, for `sslrootcert`. */
  certificate: string;
  /** From now on only those who come over TLS ("hostssl"), without it ("hostnossl") or either way ("host") get in. */
  admit(kind: "host" | "hostssl" | "hostnossl"): Promise<void>;
  stop(): Promise<void>;
  /** Ends it as a crash would: nobody is told goodbye. */
  crash(): Promise<void>;
  start(): Promise<void>;
}

export async function startTlsPostgres(t: TestContext): Promise<TlsPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), "muster-tls-"));
  const cluster = join(dataDir, "postgres");
  const run = (port?: number) =>
    startEmbedded({ dataDir, onLog: () => {}, flags: ["-c", "fsync=off"], ...(port ? { port } : {}) });
  let current = await run();
  t.after(async () => {
    await current.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  const { uid, gid } = await stat(cluster);
  const write = async (name: string, text: string) => {
    const path = join(cluster, name);
    await writeFile(path, text, { mode: 0o600 });
    await chown(path, uid, gid);
  };
  const reload = async (...statements: string[]) => {
    const admin = openDatabase(current.url, { maxConnections: 1 });
    for (const statement of [...statements, "select pg_reload_conf()"]) await admin.unsafe(statement);
    await closeDatabase(admin);
  };
  await write("server.crt", SELF_SIGNED.cert);
  await write("server.key", SELF_SIGNED.key);
  await reload("alter system set ssl = on");
  const certificate = join(dataDir, "trusted.crt");
  await writeFile(certificate, SELF_SIGNED.cert);
  const { url } = current;
  return {
    url,
    certificate,
    async admit(kind) {
      await write("pg_hba.conf", `${kind} all all 127.0.0.1/32 scram-sha-256\n`);
      await reload();
    },
    stop: () => current.stop(),
    async crash() {
      process.kill(current.pid, "SIGQUIT");
      await current.stop();
    },
    async start() {
      current = await run(Number(new URL(url).port));
    },
  };
}

/** A URL with more parameters. */
export function withParameters(url: string, parameters: Record<string, string>): string {
  const other = new URL(url);
  for (const [name, value] of Object.entries(parameters)) other.searchParams.set(name, value);
  return other.href;
}
