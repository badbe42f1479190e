import { randomUUID } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { makeActivityPartitions } from "../../src/store/activity-partitions.ts";
import { closeDatabase, openDatabase } from "../../src/store/database.ts";
import { startEmbedded } from "../../src/store/embedded.ts";
import { migrate } from "../../src/store/migrations.ts";
import { START } from "./turned-clock.ts";

/** The variable that tells test files of the cluster that the test run shares; as the cluster's superuser. */
export const SHARED_CLUSTER = "MUSTER_TEST_POSTGRES";
const TEMPLATE = "muster_template";

export interface TestCluster {
  /** As its superuser, to a database that tests leave alone. */
  adminUrl: string;
  /** Stops it and removes its files. */
  stop(): Promise<void>;
}

export interface TestDatabase {
  url: string;
  /** Ends whoever is still connected to it. */
  drop(): Promise<void>;
}

/** Starts a cluster for tests, in a folder of its own, with a migrated template in it. It may forget all in a power cut. */
export async function startTestCluster(): Promise<TestCluster> {
  const folder = mkdtempSync(join(tmpdir(), "muster-test-"));
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  try {
    const embedded = await startEmbedded({
      dataDir: folder,
      onLog: () => {},
      flags: [
        "-c",
        "fsync=off",
        "-c",
        "synchronous_commit=off",
        "-c",
        "full_page_writes=off",
        "-c",
        "max_connections=200",
        // What it writes may lie in memory.
        "-c",
        "max_wal_size=256MB",
      ],
    });
    const stop = async () => {
      await embedded.stop();
      await removeFolder();
    };
    try {
      const admin = connect(embedded.url);
      await admin.unsafe(`create database ${TEMPLATE}`);
      await admin.end();
      const template = openDatabase(sibling(embedded.url, TEMPLATE), { maxConnections: 1 });
      await migrate(template);
      // Every server would make them at its start, which takes as long as the rest of it.
      await makeActivityPartitions(template, new Date(START));
      await closeDatabase(template);
      return { adminUrl: embedded.url, stop };
    } catch (error) {
      await stop();
      throw error;
    }
  } catch (error) {
    await removeFolder();
    throw error;
  }
}

let own: Promise<TestCluster> | undefined;

// Root hooks of node:test run in the order in which they were added, so one from here would stop the cluster before the
// file's own hooks have closed what works on it. The cluster does not keep the process alive: once all is done, and the
// process would end, it is stopped.
process.once("beforeExit", async () => (await own)?.stop());

/** A fresh, migrated database, in the test run's cluster or, when the file is run alone, in one that it starts. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const shared = process.env[SHARED_CLUSTER];
  if (shared === undefined) own ??= startTestCluster();
  const adminUrl = shared ?? (await own)?.adminUrl;
  if (adminUrl === undefined) throw new Error("there is no cluster to test on");
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  const admin = connect(adminUrl);
  try {
    // Fifteen times cheaper than the usual way, block by block through the log.
    await admin.unsafe(`create database ${name} template ${TEMPLATE} strategy file_copy`);
  } catch (error) {
    await admin.end();
    throw error;
  }
  return {
    url: sibling(adminUrl, name),
    async drop() {
      await admin.unsafe(`drop database if exists ${name} with (force)`);
      await admin.end();
    },
  };
}

function connect(adminUrl: string): postgres.Sql {
  return postgres(adminUrl, { max: 1, fetch_types: false, onnotice: () => {} });
}

function sibling(url: string, database: string): string {
  const other = new URL(url);
  other.pathname = `/${database}`;
  return other.href;
}
