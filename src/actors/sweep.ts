import type { AgentEvent } from "../../machines/model.ts";
import type { Cancel, Clock } from "../clock.ts";
import type { Actors } from "./actors.ts";
import { FLAG } from "./columns.ts";
import type { Registry } from "./registry.ts";

/** How often the columns are looked through, in milliseconds. */
export const SWEEP_MS = 1_000;

/**
 * Looks through the columns for agents whose deadline has passed or whose work is due, and gives them the event. The
 * machine decides; what comes to nothing because Postgres is away comes again with the next sweep.
 *
 * @param disconnectGraceMs how long after the loss of its socket an online agent is offline; undefined: never
 */
export function startSweep({
  registry,
  actors,
  clock,
  disconnectGraceMs,
}: {
  registry: Registry;
  actors: Actors;
  clock: Clock;
  disconnectGraceMs: number | undefined;
}): Cancel {
  const give = (index: number, event: AgentEvent) => {
    if (!actors.isBusy(index)) actors.send(index, event).catch(() => {});
  };
  return clock.every(SWEEP_MS, () => {
    const at = clock.now();
    const { columns, listeningSince, extent } = registry;
    for (let index = 0; index < extent; index++) {
      const due = columns.dueAt[index] ?? 0;
      if (due !== 0 && due <= at) give(index, { type: "due", at });
      if (registry.statusOf(index) !== "online" || registry.idOf(index) === undefined) continue;
      const heard = Math.max(columns.lastSeen[index] ?? 0, listeningSince);
      const lostAt = columns.lostAt[index] ?? 0;
      if (at - heard > (columns.offlineAfter[index] ?? 0)) give(index, { type: "silence", at });
      else if (disconnectGraceMs !== undefined && lostAt !== 0 && !columns.has(index, FLAG.connected))
        if (at - Math.max(lostAt, heard) >= disconnectGraceMs)
          give(index, { type: "abandoned", at, lostAt, graceMs: disconnectGraceMs });
    }
  });
}
