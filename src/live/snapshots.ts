import type { GatewayLink } from "../protocol/gateway-links.ts";
import { listActivity, toActivityEvent } from "../store/activity.ts";
import { readPresentCommands, toAgentCommand } from "../store/agent-commands.ts";
import { type Presence, toAgent } from "../store/agent-rows.ts";
import { readAgentPage } from "../store/agents.ts";
import type { Place } from "../store/cursor.ts";
import type { Database } from "../store/database.ts";
import { readGatewayIds } from "../store/gateways.ts";
import type { TopicName } from "./topics.ts";

/** Things in one page of a snapshot. */
const PAGE = 500;
/** Entries of the log that a subscriber starts with. */
const LATEST_ACTIVITY = 100;
/** Commands that have ended, of the agent, that a subscriber starts with besides those that wait. */
const LATEST_COMMANDS = 200;

export interface SnapshotPage {
  items: object[];
  /** Where the next page begins, or null after the last. */
  next: string | null;
}

/** One page of what a topic shows now, from Postgres, newest first. */
export async function readSnapshot(
  database: Database,
  inMemory: { presenceOf(agentId: string): Presence; linkOf(gatewayId: string): GatewayLink | undefined },
  organizationId: string,
  { kind, scope, id }: TopicName,
  cursor: string | null,
): Promise<SnapshotPage> {
  const filter = {
    organizationId,
    boardId: scope === "board" ? id : undefined,
    agentId: scope === "agent" ? id : undefined,
  };
  if (kind === "commands") {
    const which = { agentId: id, ended: LATEST_COMMANDS };
    const { rows, nextCursor } = await readPresentCommands(database, which, {
      limit: PAGE,
      cursor: placeOf(cursor),
    });
    return { items: rows.map(toAgentCommand), next: nextCursor?.place ?? null };
  }
  // What was said is kept by the gateway.
  if (kind === "chat") return { items: [], next: null };
  if (kind === "gateways") {
    const ids = scope === "gateway" ? [id] : await readGatewayIds(database, organizationId);
    return { items: ids.flatMap((gatewayId) => inMemory.linkOf(gatewayId) ?? []), next: null };
  }
  if (kind === "activity") {
    const { rows } = await listActivity(database, filter, { limit: LATEST_ACTIVITY });
    return { items: rows.map(toActivityEvent), next: null };
  }
  const { rows, nextCursor } = await readAgentPage(
    database,
    { ...filter, gatewayId: scope === "gateway" ? id : undefined },
    { limit: PAGE, cursor: placeOf(cursor) },
  );
  return {
    items: rows.map((row) => toAgent(row, inMemory.presenceOf(row.id))),
    next: nextCursor?.place ?? null,
  };
}

function placeOf(cursor: string | null): Place | undefined {
  return cursor === null ? undefined : { place: cursor };
}
