/** A person, by one of their tokens. */
export interface UserPrincipal {
  kind: "user";
  userId: string;
  organizationId: string;
  role: "owner" | "admin" | "member";
  tokenId: string;
}

/** An agent, by its token. What it may do besides being itself is for its row to say. */
export interface AgentPrincipal {
  kind: "agent";
  agentId: string;
  organizationId: string;
  tokenId: string;
}

/** A session without a token of its own: it may attach agents, each by its token. */
export interface HostPrincipal {
  kind: "host";
}

/** Who asks. */
export type Principal = UserPrincipal | AgentPrincipal | HostPrincipal;

/** The principal as `hello` shows it. */
export function toWire(principal: Principal) {
  switch (principal.kind) {
    case "user":
      return {
        kind: principal.kind,
        id: principal.userId,
        organization_id: principal.organizationId,
        role: principal.role,
      };
    case "agent":
      return { kind: principal.kind, id: principal.agentId, organization_id: principal.organizationId };
    case "host":
      return { kind: principal.kind };
  }
}
