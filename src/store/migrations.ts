import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot } from "../package-root.ts";
import { wholeNumber } from "../whole-number.ts";
import { type Database, isUnavailable, type Transaction } from "./database.ts";

/** Any number that no other program takes a lock with. */
const LOCK = 7_364_180_221;
/** In one message each, so that the connection is never seen without a transaction and stays ours. */
const NEXT_TRANSACTION = "commit; begin";
const UNDONE_TRANSACTION = "rollback; begin";
const FILE_NAME = /^(\d{4})_(\w+)\.sql$/;

interface Migration {
  number: number;
  name: string;
  path: string;
}

/** The database has been migrated by a later version of this program. */
export class DatabaseTooNewError extends Error {
  override name = "DatabaseTooNewError";

  constructor(known: number, found: { number: number; name: string }) {
    super(
      `the database is newer than this program, which knows migrations up to ${known}: ` +
        `number ${found.number} (${found.name}) has been applied. ` +
        "Run the version that applied it or a later one, or restore a backup from before",
    );
  }
}

/**
 * Brings the database to the newest state: applies the files `NNNN_name.sql` that it has not had, in order, each in a
 * transaction of its own. Several servers may do it at once: one works, the others wait and find it done.
 *
 * @param folder where the files lie
 * @returns the numbers applied now
 * @throws DatabaseTooNewError; Error on a gap or a repeated number among the files; whatever Postgres said of a file
 */
export async function migrate(database: Database, folder = join(packageRoot, "sql")): Promise<number[]> {
  const migrations = await readMigrations(folder);
  return database.begin(async (connection) => {
    // The lock belongs to the connection, not to a transaction: it lasts through all of them, and dies with us.
    await connection`select pg_advisory_lock(${LOCK})`;
    await connection.unsafe(NEXT_TRANSACTION);
    try {
      const applied = await applyMissing(connection, migrations);
      await connection`select pg_advisory_unlock(${LOCK})`;
      return applied;
    } catch (error) {
      if (!isUnavailable(error)) {
        await connection.unsafe(UNDONE_TRANSACTION);
        await connection`select pg_advisory_unlock(${LOCK})`;
      }
      throw error;
    }
  });
}

async function applyMissing(connection: Transaction, migrations: Migration[]): Promise<number[]> {
  await connection.unsafe(`
    create table if not exists muster_migrations (
      number int primary key,
      name text not null,
      applied_at timestamptz not null default now()
    )`);
  await connection.unsafe(NEXT_TRANSACTION);
  const applied = await connection<{ number: number; name: string }[]>`
    select number, name from muster_migrations order by number desc`;
  const newest = applied[0];
  if (newest && newest.number > migrations.length) throw new DatabaseTooNewError(migrations.length, newest);
  const had = new Set(applied.map(({ number }) => number));
  const missing = migrations.filter(({ number }) => !had.has(number));
  for (const migration of missing) await apply(connection, migration);
  return missing.map(({ number }) => number);
}

async function apply(connection: Transaction, { number, name, path }: Migration): Promise<void> {
  await connection.unsafe(await readFile(path, "utf8"));
  await connection`insert into muster_migrations (number, name) values (${number}, ${name})`;
  await connection.unsafe(NEXT_TRANSACTION);
}

/** In order; the n-th has the number n. */
async function readMigrations(folder: string): Promise<Migration[]> {
  const migrations = (await readdir(folder))
    .filter((file) => file.endsWith(".sql"))
    .sort()
    .map((file) => {
      const [, digits, name] = FILE_NAME.exec(file) ?? [];
      const number = wholeNumber(digits);
      if (number === undefined || name === undefined)
        throw new Error(`${join(folder, file)}: a migration is named NNNN_name.sql`);
      return { number, name, path: join(folder, file) };
    });
  migrations.forEach(({ number, path }, index) => {
    if (number === index) throw new Error(`${path}: the number ${number} is there twice`);
    if (number !== index + 1) throw new Error(`${path}: number ${index + 1} is missing before it`);
  });
  return migrations;
}
