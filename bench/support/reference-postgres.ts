import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { createLog } from "../../src/log.ts";
import { keepEmbedded } from "../../src/store/kept-postgres.ts";

/** A Postgres of the same kind and settings as the server's own, for the references; with so many agents in it. */
export interface ReferencePostgres {
  url: string;
  stop(): Promise<void>;
}

/** The least that the reference service's tables need for a heartbeat: fewer columns and indexes than they have. */
export async function startReferencePostgres(agents: number): Promise<ReferencePostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), "muster-bench-reference-"));
  const clean = () => rm(dataDir, { recursive: true, force: true });
  const kept = await keepEmbedded({ dataDir, log: createLog("silent") }).catch(async (error: unknown) => {
    await clean();
    throw error;
  });
  const sql = postgres(kept.url, { max: 1, onnotice: () => {} });
  try {
    await sql`create table agents (no integer primary key, id uuid not null unique, status text not null,
      last_seen_at timestamptz, updated_at timestamptz not null default now()) with (fillfactor = 50)`;
    await sql`create table activity_events (id uuid primary key, event_type text not null, message text not null,
      agent_id uuid not null, created_at timestamptz not null default now())`;
    const ids = Array.from({ length: agents }, () => randomUUID());
    await sql`insert into agents (no, id, status)
      select row_number() over () - 1, id, 'online' from unnest(${ids}::uuid[]) u (id)`;
    await sql`vacuum analyze agents`;
  } finally {
    await sql.end();
  }
  return {
    url: kept.url,
    async stop() {
      await kept.stop();
      await clean();
    },
  };
}
