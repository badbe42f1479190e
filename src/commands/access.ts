import { leadBoardOf, requireAdmin, requireUser } from "../auth/access.ts";
import type { Context } from "./context.ts";
import { findAgent } from "./find.ts";

/** Who may call a method at all. An agent that is a board's lead counts as one; what it may do there is for the method. */
export type Access = "anyone" | "user" | "admin" | "lead or admin" | "agent or admin";

/** Refuses who may not call a method, whatever the params are. Throws `forbidden`. */
export async function requireAccess(
  context: Pick<Context, "principal" | "services" | "database">,
  access: Access,
): Promise<void> {
  const { principal } = context;
  switch (access) {
    case "anyone":
      return;
    case "user":
      requireUser(principal);
      return;
    case "admin":
      requireAdmin(principal);
      return;
    case "agent or admin":
      if (principal.kind !== "agent") requireAdmin(principal);
      return;
    case "lead or admin":
      if (principal.kind === "agent")
        leadBoardOf(await findAgent(context, principal.organizationId, principal.agentId));
      else requireAdmin(principal);
      return;
  }
}
