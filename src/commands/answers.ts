import type { Agent } from "../protocol/agents.ts";
import { MusterError } from "../protocol/errors.ts";
import { type ShownRow, toAgent } from "../store/agent-rows.ts";
import type { Services } from "./services.ts";

/** A row as everyone may see it. */
export function show(services: Pick<Services, "registry">, row: ShownRow): Agent {
  return toAgent(row, services.registry.presenceOf(row.id));
}

/** The agent as it is in Postgres now. */
export async function readAndShow(
  services: Pick<Services, "registry" | "lookups">,
  agentId: string,
): Promise<Agent> {
  const row = await services.lookups.agent(agentId);
  if (row) return show(services, row);
  throw new MusterError("not_found", "The agent is not there any more.");
}

/** The agent's place in the registry. */
export function indexOf({ registry }: Pick<Services, "registry">, agentId: string): number {
  const index = registry.indexOf(agentId);
  if (index !== undefined) return index;
  throw new MusterError("not_found", "The agent is not there any more.");
}
