import type { AgentPrincipal, UserPrincipal } from "../auth/principals.ts";
import { readToken, tokenMatches } from "../auth/tokens.ts";
import { MusterError } from "../protocol/errors.ts";
import { type AgentIdentityRow, readUserIdentity, useAgentToken } from "../store/tokens.ts";
import type { Services } from "./services.ts";

/** Whose token it is, and until when it is good (milliseconds since the epoch; null: no end). */
export interface Identity {
  principal: UserPrincipal | AgentPrincipal;
  expiresAt: number | null;
}

const UNKNOWN = "The token is not good: it is unknown or was revoked.";

/**
 * Finds out who presents a token, by one indexed lookup. The first use of an agent's newer token ends its older ones.
 * Throws `unauthenticated`.
 */
export async function identify(services: Services, token: string): Promise<Identity> {
  const presented = readToken(token);
  if (!presented)
    throw new MusterError(
      "unauthenticated",
      "This is not a token: tokens begin with mst_user_ or mst_agent_, and are copied whole.",
    );
  const { database, lookups, clock } = services;
  if (presented.kind === "user") {
    const row = await readUserIdentity(database, presented.id);
    if (!row || !tokenMatches(presented, row.hash)) throw new MusterError("unauthenticated", UNKNOWN);
    const { user_id: userId, organization_id: organizationId, role } = row;
    return {
      principal: { kind: "user", userId, organizationId, role, tokenId: row.id },
      expiresAt: checkExpiry(row.expires_at, clock.now()),
    };
  }
  if (presented.kind === "agent") {
    const row = await lookups.agentIdentity(presented.id);
    if (!row || !tokenMatches(presented, row.hash)) throw new MusterError("unauthenticated", UNKNOWN);
    const expiresAt = checkExpiry(row.expires_at, clock.now());
    if (row.used_at === null) await firstUse(services, row);
    return { principal: agentPrincipal(services, row), expiresAt };
  }
  throw new MusterError("unauthenticated", "An enrolment token is for agent.enroll only.");
}

/** Its texts are the registry's own where it has them: a copy for every session would cost as much as the session. */
function agentPrincipal(
  { registry }: Services,
  { id: tokenId, agent_id: agentId, organization_id: organizationId }: AgentIdentityRow,
): AgentPrincipal {
  const index = registry.indexOf(agentId);
  if (index === undefined) return { kind: "agent", agentId, organizationId, tokenId };
  return {
    kind: "agent",
    agentId: registry.idOf(index) ?? agentId,
    organizationId: registry.belongingOf(index).organizationId,
    tokenId,
  };
}

async function firstUse(
  services: Services,
  row: { id: string; agent_id: string; serial: number },
): Promise<void> {
  const { database, clock, registry, attachments, endSessions } = services;
  const ended = await useAgentToken(
    database,
    { id: row.id, agentId: row.agent_id, serial: row.serial },
    new Date(clock.now()),
  );
  const index = registry.indexOf(row.agent_id);
  if (index !== undefined && ended.length > 0) attachments.revoke(index, ended);
  // Also those that carry the agent no more.
  endSessions({ tokenIds: ended });
}

function checkExpiry(expiresAt: Date | null, now: number): number | null {
  if (expiresAt === null) return null;
  if (expiresAt.getTime() > now) return expiresAt.getTime();
  throw new MusterError("unauthenticated", "The token has expired.");
}
