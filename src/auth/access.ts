import { MusterError } from "../protocol/errors.ts";
import type { Principal, UserPrincipal } from "./principals.ts";

/**
 * Who may do what. Every question "may they?" is asked here; things of another organization never come this far, they
 * are not found.
 */

const forbidden = (message: string) => new MusterError("forbidden", message);

/** A person of an organization; whoever else asks is refused. */
export function requireUser(principal: Principal): UserPrincipal {
  if (principal.kind === "user") return principal;
  throw forbidden(
    principal.kind === "agent"
      ? "This is for users; an agent may heartbeat itself, and a board lead may create and update agents."
      : "This session has no token of its own: sign in with a user's token.",
  );
}

/** An owner or admin of the organization. */
export function requireAdmin(principal: Principal): UserPrincipal {
  const user = requireUser(principal);
  if (user.role !== "member") return user;
  throw forbidden("Only owners and admins of the organization may do this.");
}

/** Whether the user may read the board and what is on it. */
export function mayReadBoard(user: UserPrincipal): boolean {
  return user.role !== "member";
}

/** Whether the user may change the board and what is on it. */
export function mayWriteBoard(user: UserPrincipal): boolean {
  return user.role !== "member";
}

/** Refuses who may not change the agents of a board. */
export function requireBoardWrite(principal: Principal): UserPrincipal {
  const user = requireAdmin(principal);
  if (mayWriteBoard(user)) return user;
  throw forbidden("You may not write this board.");
}

/** The board on which an agent may create and change agents: its own, if it is the board's lead. */
export function leadBoardOf(agent: { is_board_lead: boolean; board_id: string | null }): string {
  if (!agent.is_board_lead) throw forbidden("Only board leads can create agents");
  if (agent.board_id === null) throw forbidden("Board lead must be assigned to a board");
  return agent.board_id;
}

/** Refuses a lead that reaches beyond its own board. */
export function requireOwnBoard(ownBoardId: string, boardId: string | null): void {
  if (boardId !== ownBoardId) throw forbidden("Board leads can only create agents in their own board");
}

/** Refuses a lead that would make a lead. */
export function requireNoLead(isBoardLead: boolean | undefined): void {
  if (isBoardLead === true)
    throw forbidden("Board leads make no leads: a user of the organization chooses who leads a board.");
}

/** What of an agent leads may not change. */
interface Standing {
  is_board_lead: boolean;
  is_gateway_main: boolean;
}

/**
 * Refuses a lead that would change what is not for it, on its own board: other leads and main agents, and anybody's being
 * one, its own too.
 */
export function requireLeadMayChange(
  leadId: string,
  agent: Standing & { id: string },
  { is_board_lead = agent.is_board_lead, is_gateway_main = agent.is_gateway_main }: Partial<Standing>,
): void {
  if (is_gateway_main !== agent.is_gateway_main || is_board_lead !== agent.is_board_lead)
    throw forbidden(
      "Board leads neither promote nor demote agents: who leads a board, or is a gateway's main agent, is for users to say.",
    );
  if (agent.id !== leadId && (agent.is_board_lead || agent.is_gateway_main))
    throw forbidden("Board leads can only change the workers of their board, and themselves.");
}

/** Refuses an agent that is not the one it speaks for. */
export function requireItself(agentId: string, claimedId: string): void {
  if (agentId !== claimedId) throw forbidden("An agent heartbeats itself only.");
}
