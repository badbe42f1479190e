import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { forEachInSlices } from "../../slices.ts";
import { GatewayError } from "../driver.ts";
import type { Ask } from "./ask.ts";

/** Characters of the mark by which a gateway knows its configuration. */
const MOST_HASH = 1_000;
/** Agents in a list that is written back as a whole. */
const MOST_WRITTEN = 10_000;

/** Not looked at one by one by the schema: there can be very many. */
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const answer = z.object({
  hash: z.string().max(MOST_HASH).nullish(),
  config: z.object({
    agents: z
      .object({
        entries: z.custom<Record<string, unknown>>(isRecord).optional().catch(undefined),
        list: z.custom<unknown[]>(Array.isArray).optional().catch(undefined),
      })
      .nullish()
      .catch(null),
  }),
});

/** How a gateway keeps its agents: in a map by id, or in a list. */
export type RosterKind = "entries" | "list";

/** A gateway's configuration, as far as it is about agents. */
export interface GatewayConfig {
  hash: string | null;
  kind: RosterKind;
  entries: ReadonlyMap<string, Record<string, unknown>>;
  /** The list in its order, where it is one. */
  list: readonly Record<string, unknown>[];
}

/** What a gateway said of itself. */
export interface GatewayVersion {
  protocol: number;
  /** Like 2026.9.6; null where it does not tell. */
  version: string | null;
}

/** The first version that keeps its agents in a map. */
const FIRST_WITH_ENTRIES = [2026, 8, 1] as const;

/** How a gateway that has no agents yet would keep them. One of protocol 4 that hides its version counts as a new one. */
export function rosterKindOf({ protocol, version }: GatewayVersion): RosterKind {
  if (protocol < 4) return "list";
  const parts = /^(\d+)\.(\d+)\.(\d+)/
    .exec(version ?? "")
    ?.slice(1)
    .map(Number);
  if (!parts) return "entries";
  for (const [position, first] of FIRST_WITH_ENTRIES.entries()) {
    const part = parts[position] ?? 0;
    if (part !== first) return part > first ? "entries" : "list";
  }
  return "entries";
}

/** Reads a gateway's configuration. Where it has no agents yet, its version says how it would keep them. */
export async function readGatewayConfig(ask: Ask, gateway: GatewayVersion): Promise<GatewayConfig> {
  const { hash, config } = await ask("config.get", {}, answer);
  const { entries, list } = config.agents ?? {};
  const byId = new Map<string, Record<string, unknown>>();
  const inOrder: Record<string, unknown>[] = [];
  if (entries)
    await forEachInSlices(Object.keys(entries), (id) => {
      const entry = entries[id];
      if (isRecord(entry)) byId.set(id, entry);
    });
  else
    await forEachInSlices(list ?? [], (entry) => {
      if (!isRecord(entry)) return;
      inOrder.push(entry);
      if (typeof entry.id === "string") byId.set(entry.id, entry);
    });
  return {
    hash: hash ?? null,
    kind: entries ? "entries" : list ? "list" : rosterKindOf(gateway),
    entries: byId,
    list: inOrder,
  };
}

/** The heartbeat of an agent in the configuration; null: it has none of its own. */
export function heartbeatIn(config: GatewayConfig, id: string): Record<string, unknown> | null {
  const heartbeat = config.entries.get(id)?.heartbeat;
  return isRecord(heartbeat) ? heartbeat : null;
}

/** Whether a heartbeat is not as it is wanted. */
export function differs(found: Record<string, unknown> | null, wanted: Record<string, unknown>): boolean {
  return !isDeepStrictEqual(found ?? {}, wanted);
}

/**
 * A patch that gives agents these heartbeats and leaves everything else as it is. Throws GatewayError where a list would have
 * to be written anew that is too long.
 */
export function heartbeatPatch(
  config: GatewayConfig,
  protocol: number,
  wanted: ReadonlyMap<string, Record<string, unknown>>,
): object {
  if (config.kind === "entries") {
    const entries: Record<string, object> = {};
    for (const [id, heartbeat] of wanted)
      entries[id] = { heartbeat: merging(heartbeatIn(config, id), heartbeat) };
    return { agents: { entries } };
  }
  if (protocol >= 4) {
    const list = [...wanted].map(([id, heartbeat]) => ({
      id,
      heartbeat: merging(heartbeatIn(config, id), heartbeat),
    }));
    return { agents: { list } };
  }
  if (config.list.length > MOST_WRITTEN)
    throw new GatewayError(
      `The gateway lists more than ${MOST_WRITTEN} agents: its list is not written anew`,
      {
        transient: false,
      },
    );
  // These take the list as a whole, and the first of a list without the gateway's own agent for that one.
  const list = config.list.map((entry) => {
    const heartbeat = typeof entry.id === "string" ? wanted.get(entry.id) : undefined;
    return heartbeat ? { ...entry, heartbeat } : entry;
  });
  const hasDefault = list.some((entry) => entry.id === "main" || entry.default === true);
  return { agents: { list: hasDefault ? list : [{ id: "main" }, ...list] } };
}

/** In a patch that is merged, what is no longer wanted must be named. */
function merging(found: Record<string, unknown> | null, wanted: Record<string, unknown>): object {
  const gone = Object.keys(found ?? {}).filter((key) => !Object.hasOwn(wanted, key));
  return { ...wanted, ...Object.fromEntries(gone.map((key) => [key, null])) };
}
