import postgres from "postgres";
import { MusterError, type Reason } from "../protocol/errors.ts";
import { isUnavailable } from "./database.ts";

/** What a broken constraint means to the one who asked. */
const CONSTRAINTS: Record<string, { reason: Reason; message: string }> = {
  agents_name_taken_on_board: {
    reason: "conflict",
    message: "An agent with this name already exists on this board.",
  },
  agents_name_taken_on_gateway: {
    reason: "conflict",
    message: "An agent with this name already exists in this gateway workspace.",
  },
  agents_session_key_taken: {
    reason: "conflict",
    message: "This agent name would collide with an existing workspace session key. Pick a different name.",
  },
  agents_slug_taken: {
    reason: "conflict",
    message: "This agent name would collide with an existing workspace folder. Pick a different name.",
  },
  boards_slug_taken: {
    reason: "conflict",
    message: "A board with this slug already exists. Pick another slug.",
  },
  agents_board_id_organization_id_fkey: {
    reason: "conflict",
    message: "The board still has agents (or is not there any more). Delete or move them first.",
  },
  agents_gateway_id_organization_id_fkey: {
    reason: "conflict",
    message: "The gateway still has agents (or is not there any more). Delete or move them first.",
  },
  boards_gateway_id_organization_id_fkey: {
    reason: "conflict",
    message: "The gateway still has boards (or is not there any more). Delete or move them first.",
  },
  tasks_assigned_agent_id_fkey: { reason: "unprocessable", message: "The assigned agent does not exist." },
  tasks_board_id_organization_id_fkey: { reason: "conflict", message: "The board is not there any more." },
  agent_tokens_agent_id_fkey: { reason: "not_found", message: "The agent is not there any more." },
  agent_commands_agent_id_fkey: { reason: "not_found", message: "The agent is not there any more." },
  idempotency_pkey: { reason: "conflict", message: "The same request is being carried out already." },
};

/** The name of the constraint that an error says was broken. */
export function brokenConstraint(error: unknown): string | undefined {
  return error instanceof postgres.PostgresError ? error.constraint_name : undefined;
}

/** What breaking the constraint of that name means; undefined when it is nothing of the one who asked. */
export function refusalBy(constraint: string, cause?: unknown): MusterError | undefined {
  const refusal = CONSTRAINTS[constraint];
  return refusal && new MusterError(refusal.reason, refusal.message, {}, { cause });
}

/** Postgres' refusal of a row, or its absence, in words for the one who asked; undefined when it is nothing of theirs. */
export function refusalOf(error: unknown): MusterError | undefined {
  // Whether something was written before the connection was lost cannot be known here, so it is not said.
  if (isUnavailable(error))
    return new MusterError(
      "unavailable",
      "The database is away. Try again in a moment.",
      {},
      { cause: error },
    );
  return refusalBy(brokenConstraint(error) ?? "", error);
}
