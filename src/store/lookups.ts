import { readAgentsWithCommands } from "./agent-commands.ts";
import type { ShownRow } from "./agent-rows.ts";
import { readAgents } from "./agents.ts";
import { batched } from "./batched.ts";
import type { Database } from "./database.ts";
import { type AgentIdentityRow, readAgentIdentities, readExistingAgentTokens } from "./tokens.ts";

/** What is looked up one by one, by very many at once when a fleet connects. */
export interface Lookups {
  /** An agent's token with whose it is, by the token's public part. */
  agentIdentity(tokenId: string): Promise<AgentIdentityRow | undefined>;
  /** An agent as it is in Postgres now, by its id. */
  agent(id: string): Promise<ShownRow | undefined>;
  /** Whether an agent's token is there still: its id, or undefined. */
  agentToken(tokenId: string): Promise<string | undefined>;
  /** Whether commands wait for an agent, or are not answered: its id, or undefined. */
  agentWithCommands(id: string): Promise<string | undefined>;
}

export function createLookups(database: Database): Lookups {
  const byId = <Row extends { id: string }>(rows: readonly Row[]) =>
    new Map(rows.map((row) => [row.id, row]));
  const set = (ids: readonly string[]) => new Map(ids.map((id) => [id, id]));
  return {
    agentIdentity: batched(async (ids) => byId(await readAgentIdentities(database, ids))),
    agent: batched(async (ids) => byId(await readAgents(database, ids))),
    agentToken: batched(async (ids) => set(await readExistingAgentTokens(database, ids))),
    agentWithCommands: batched(async (ids) => set(await readAgentsWithCommands(database, ids))),
  };
}
