import { closeSync, openSync } from "node:fs";
import { closeDatabase, isUnavailable, openDatabase } from "../../src/store/database.ts";

/*
 * Uses up all the descriptors that this process may have while a pool wants more connections, then gives them back. It
 * prints how that went, as JSON.
 */
console.log(JSON.stringify({ connected: await useUp(true), unconnected: await useUp(false) }));

/** @param connected whether one connection of the pool is there already */
async function useUp(connected: boolean) {
  const pool = openDatabase(process.env.DATABASE_URL ?? "", { maxConnections: 4 });
  const begin = (count: number) =>
    Promise.allSettled(
      Array.from({ length: count }, () => pool.begin((transaction) => transaction`select pg_sleep(0.05)`)),
    );
  if (connected) await pool`select 1`;
  const held: number[] = [];
  try {
    for (;;) held.push(openSync("/dev/null", "r"));
  } catch {
    // That was the last one.
  }
  const outcomes = await begin(8);
  for (const descriptor of held) closeSync(descriptor);
  const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
  const later = await begin(8);
  await closeDatabase(pool);
  return {
    failed: failures.length > 0,
    away: failures.every(isUnavailable),
    later: later.every(({ status }) => status === "fulfilled"),
  };
}
