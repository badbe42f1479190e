import { readAllResting } from "../store/agents.ts";
import type { Database } from "../store/database.ts";
import { replayHeartbeats } from "../store/heartbeat-journal.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { Registry } from "./registry.ts";

/** Fills the registry with every agent of the database, and with the heartbeats that are not in the agents' rows yet. */
export async function loadRegistry(
  database: Database,
  registry: Registry,
  checkpoint: Pick<Checkpoint, "note" | "reached">,
): Promise<void> {
  await readAllResting(database, (rows) => {
    for (const row of rows) registry.add(row);
  });
  const indexes = registry.indexesByNo();
  const places = await replayHeartbeats(database, (no, at) => {
    const index = indexes[no] ?? -1;
    // Deleted since.
    if (index < 0) return;
    registry.seen(index, at);
    checkpoint.note(index);
  });
  for (const place of places) checkpoint.reached(place);
}
