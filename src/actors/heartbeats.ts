import type { Json } from "../protocol/fields.ts";
import type { Facts } from "../store/presence.ts";
import type { Actors } from "./actors.ts";
import type { Beats } from "./beats.ts";
import { FLAG } from "./columns.ts";
import type { Registry } from "./registry.ts";

/** What a heartbeat says, besides that the agent lives. */
export interface Report {
  status?: "online" | "offline" | undefined;
  activity?: string | undefined;
  stats?: Record<string, Json> | undefined;
}

/** What a heartbeat says of its agent beyond that it lives or leaves; undefined: nothing. */
export function saidIn({ status, activity, stats }: Report): Facts | undefined {
  if (activity === undefined && stats === undefined) return undefined;
  return { ...(status && { status }), ...(activity && { activity }), ...(stats && { stats }) };
}

/**
 * One heartbeat, by the short way where the agent's state allows it and through its machine otherwise. Resolves when it
 * is committed; while Postgres is away it waits, merged with later ones of the same agent.
 */
export async function heartbeat(
  { registry, actors, beats }: { registry: Registry; actors: Actors; beats: Beats },
  index: number,
  report: Report,
  at: number,
): Promise<void> {
  const said = saidIn(report);
  if (said) beats.report(index, said);
  if (report.status === "offline") await actors.send(index, { type: "signoff", at }, { lasting: true });
  else if (!registry.columns.has(index, FLAG.restful))
    await actors.send(index, { type: "beat", quiet: false, at }, { lasting: true });
  else {
    beats.beat(index, at);
    return committed(beats);
  }
  // What it said of itself is committed apart from the transition.
  if (said) await committed(beats);
}

/** Another sign of life than a heartbeat: it leaves nothing in the log, and nobody waits for its commit. */
export async function sighted(
  { registry, actors, beats }: { registry: Registry; actors: Actors; beats: Beats },
  index: number,
  at: number,
): Promise<void> {
  if (registry.columns.has(index, FLAG.restful)) beats.touch(index, at);
  else await actors.send(index, { type: "beat", quiet: true, at }, { lasting: true });
}

/** Resolves when Postgres has every heartbeat that is there now. */
function committed(beats: Beats): Promise<void> {
  return new Promise((resolve) => beats.expect({ isExpecting: false, mark: () => {}, acknowledge: resolve }));
}
