import { randomUUID } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { UserPrincipal } from "./auth/principals.ts";
import { mintToken } from "./auth/tokens.ts";
import type { Services } from "./commands/services.ts";
import { runCommand } from "./commands/table.ts";
import type { Agent } from "./protocol/agents.ts";
import type { Board } from "./protocol/boards.ts";
import type { Gateway } from "./protocol/gateways.ts";
import { anyOrganization, insertOrganization } from "./store/organizations.ts";
import { insertUserToken } from "./store/tokens.ts";

/** Where the owner's token is kept, so that the command line needs no flags. */
export function credentialsFile(dataDir: string): string {
  return join(dataDir, "credentials.json");
}

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
  const { id: tokenId, token, hash } = mintToken("user");
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

async function writeCredentials(dataDir: string, credentials: { url: string; token: string }): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const file = credentialsFile(dataDir);
  await writeFile(file, `${JSON.stringify(credentials, null, 2)}\n`, { mode: 0o600 });
  await chmod(file, 0o600);
}

/** The port may be another one than last time. */
async function refreshUrl(dataDir: string, url: string): Promise<void> {
  const kept = await readFile(credentialsFile(dataDir), "utf8").catch(() => undefined);
  if (kept === undefined) return;
  const credentials: { url?: unknown; token?: unknown } = JSON.parse(kept);
  if (typeof credentials.token === "string" && credentials.url !== url)
    await writeCredentials(dataDir, { url, token: credentials.token });
}
