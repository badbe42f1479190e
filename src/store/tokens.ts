import type { MintedToken } from "../auth/tokens.ts";
import type { UserToken } from "../protocol/organizations.ts";
import type { Database, Queries } from "./database.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";

export interface UserTokenRow {
  id: string;
  organization_id: string;
  user_id: string;
  /** The token that it was made with; null: none. */
  parent_id: string | null;
  name: string;
  hash: Uint8Array;
  created_at: Date;
  expires_at: Date | null;
}

export function toUserToken(row: UserTokenRow): UserToken {
  return {
    id: row.id,
    name: row.name,
    user_id: row.user_id,
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at?.toISOString() ?? null,
  };
}

export async function insertUserToken(
  database: Queries,
  token: Omit<UserTokenRow, "parent_id"> & { parent_id?: string },
): Promise<void> {
  await database`insert into user_tokens ${database(token)}`;
}

/** A user's token with what its holder may do. */
export interface UserIdentityRow extends UserTokenRow {
  role: "owner" | "admin" | "member";
}

export async function readUserIdentity(
  database: Queries,
  tokenId: string,
): Promise<UserIdentityRow | undefined> {
  const [row] = await database<UserIdentityRow[]>`
    select t.*, m.role from user_tokens t
    join members m on m.organization_id = t.organization_id and m.user_id = t.user_id
    where t.id = ${tokenId}`;
  return row;
}

export function listUserTokens(
  database: Queries,
  filter: { organizationId: string; userId: string },
  page: PageRequest,
): Promise<Page<UserTokenRow>> {
  return readPage<UserTokenRow>(
    database,
    {
      columns: database`t.*`,
      source: database`user_tokens t`,
      heavy: database`octet_length(t.name)`,
      where: database`t.organization_id = ${filter.organizationId} and t.user_id = ${filter.userId}`,
    },
    page,
  );
}

/** An agent's token with whose it is. */
export interface AgentIdentityRow {
  id: string;
  agent_id: string;
  organization_id: string;
  hash: Uint8Array;
  serial: number;
  used_at: Date | null;
  expires_at: Date | null;
}

/** Those of the tokens that exist, in no order. */
export async function readAgentIdentities(
  database: Queries,
  tokenIds: readonly string[],
): Promise<AgentIdentityRow[]> {
  return database<AgentIdentityRow[]>`
    select t.*, a.organization_id from agent_tokens t join agents a on a.id = t.agent_id
    where t.id = any(${tokenIds as string[]}::text[])`;
}

/** Unused tokens of one agent at most, however often it is updated: any of them may be the one that it holds. */
const MOST_UNUSED = 16;

/** Adds an agent's newest token. The older ones stay good; of many unused ones the oldest goes. */
export async function insertAgentToken(
  database: Queries,
  agentId: string,
  token: Pick<MintedToken, "id" | "hash">,
  at: Date,
): Promise<void> {
  await database`
    delete from agent_tokens where agent_id = ${agentId} and used_at is null
      and serial <= (select max(serial) from agent_tokens where agent_id = ${agentId}) - ${MOST_UNUSED - 1}`;
  await database`
    insert into agent_tokens (id, agent_id, hash, serial, created_at)
    select ${token.id}, ${agentId}, ${token.hash}, coalesce(max(serial), 0) + 1, ${at}
    from agent_tokens where agent_id = ${agentId}`;
}

/**
 * A token's first use: it ends the older ones.
 *
 * @returns the ids of the tokens that ended
 */
export async function useAgentToken(
  database: Database,
  token: { id: string; agentId: string; serial: number },
  at: Date,
): Promise<string[]> {
  return database.begin(async (transaction) => {
    await transaction`update agent_tokens set used_at = ${at} where id = ${token.id} and used_at is null`;
    const ended = await transaction<{ id: string }[]>`
      delete from agent_tokens where agent_id = ${token.agentId} and serial < ${token.serial} returning id`;
    return ended.map(({ id }) => id);
  });
}

/** The ids of those of the tokens that exist, in no order. */
export async function readExistingAgentTokens(
  database: Queries,
  tokenIds: readonly string[],
): Promise<string[]> {
  const rows = await database<{ id: string }[]>`
    select id from agent_tokens where id = any(${tokenIds as string[]}::text[])`;
  return rows.map(({ id }) => id);
}

export async function agentHasToken(database: Queries, agentId: string): Promise<boolean> {
  const [row] = await database`select 1 from agent_tokens where agent_id = ${agentId} limit 1`;
  return row !== undefined;
}
