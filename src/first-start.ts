import { randomUUID } from "node:crypto";
import type { UserPrincipal } from "./auth/principals.ts";
import { type MintedToken, mintToken, readToken } from "./auth/tokens.ts";
import type { Services } from "./commands/services.ts";
import { runCommand } from "./commands/table.ts";
import { ConfigError } from "./config.ts";
import { type Credentials, credentialsFile, readCredentials, writeCredentials } from "./credentials.ts";
import type { Agent } from "./protocol/agents.ts";
import type { Board } from "./protocol/boards.ts";
import type { Gateway } from "./protocol/gateways.ts";
import { anyOrganization, insertOrganization } from "./store/organizations.ts";
import { insertUserToken } from "./store/tokens.ts";

/** What a first start has made. */
export interface FirstStart {
  organization: string;
  /** Empty when the start was to be empty. */
  agents: string[];
}

const ORGANIZATION = "My organization";
const OWNER = "Owner";
const AGENTS = ["Scout", "Builder", "Reviewer"];

/**
 * On an empty database: an organization and its owner, whose token goes into the data folder; and, unless it is to be
 * empty or there is no local gateway, a gateway, a board and three agents. Null when the database is in use already.
 */
export async function firstStart(
  services: Services,
  url: string,
  empty: boolean,
): Promise<FirstStart | null> {
  const { database, config, clock } = services;
  if (await anyOrganization(database)) {
    await refreshUrl(config.dataDir, url);
    return null;
  }
  const organization = { id: randomUUID(), name: ORGANIZATION };
  const owner = { id: randomUUID(), name: OWNER };
  const { id: tokenId, token, hash } = ownersToken(await readCredentials(config.dataDir), config.dataDir);
  const at = new Date(clock.now());
  // The file comes first: an organization whose owner's token is lost could never be entered.
  await writeCredentials(config.dataDir, { url, token });
  await database.begin(async (transaction) => {
    await insertOrganization(transaction, { organization, owner, at });
    await insertUserToken(transaction, {
      id: tokenId,
      organization_id: organization.id,
      user_id: owner.id,
      name: "first start",
      hash,
      created_at: at,
      expires_at: null,
    });
  });
  const agents = empty || !config.localGateway ? [] : AGENTS;
  if (agents.length > 0) {
    const principal: UserPrincipal = {
      kind: "user",
      userId: owner.id,
      organizationId: organization.id,
      role: "owner",
      tokenId,
    };
    await makeAgents(services, principal, agents);
  }
  return { organization: organization.name, agents };
}

async function makeAgents(services: Services, owner: UserPrincipal, names: string[]): Promise<void> {
  const run = <T>(method: "gateway.create" | "board.create" | "agent.create", params: object) =>
    runCommand(services, owner, method, params) as Promise<T>;
  const { gateway } = await run<{ gateway: Gateway }>("gateway.create", { name: "Local", kind: "local" });
  const { board } = await run<{ board: Board }>("board.create", {
    name: "First board",
    gateway_id: gateway.id,
    objective: "See agents come to life.",
  });
  for (const name of names)
    await run<{ agent: Agent }>("agent.create", {
      name,
      board_id: board.id,
      heartbeat_config: { every: "10s" },
    });
}

/**
 * The owner's token: the kept one, where there is one. It is of a first start that was cut off, or of a server on another
 * database, and to write over it would lose it.
 */
function ownersToken(kept: Credentials | undefined, dataDir: string): MintedToken {
  if (kept === undefined) return mintToken("user");
  const presented = readToken(kept.token);
  if (presented?.kind === "user") return { ...presented, token: kept.token };
  throw new ConfigError(`${credentialsFile(dataDir)}: its token is not one of a user: move the file away`);
}

/** The port may be another one than last time. */
async function refreshUrl(dataDir: string, url: string): Promise<void> {
  const kept = await readCredentials(dataDir);
  if (kept !== undefined && kept.url !== url) await writeCredentials(dataDir, { ...kept, url });
}
