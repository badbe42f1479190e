import { z } from "zod";
import { id, idempotencyKey, jsonObject, page, text, time } from "./fields.ts";

/** Bytes of a command's arguments, and of its result, as JSON. */
export const MAX_ARGS_BYTES = 65_536;
export const MAX_RESULT_BYTES = 524_288;
/** How long a live command may wait for its answer, in milliseconds: when nothing is said, and at most. */
export const LIVE_TIMEOUT_MS = { default: 30_000, most: 600_000 } as const;
/** How long a queued command may wait at most, in milliseconds. */
export const LONGEST_EXPIRY_MS = 30 * 24 * 60 * 60 * 1_000;
/** Queued commands that may wait for one agent. */
export const MOST_WAITING = 1_000;

export const COMMAND_STATUSES = [
  "queued",
  "delivered",
  "completed",
  "failed",
  "expired",
  "cancelled",
] as const;
export type CommandStatus = (typeof COMMAND_STATUSES)[number];

export const commandError = z.object({
  code: z.number(),
  message: text(10_000),
  data: jsonObject(MAX_ARGS_BYTES).optional(),
});
/** Why an agent did not do it, in its own words. */
export type CommandError = z.infer<typeof commandError>;

export const agentCommand = z.object({
  id,
  organization_id: id,
  agent_id: id,
  name: z.string(),
  args: z.record(z.string(), z.json()).nullable(),
  status: z.enum(COMMAND_STATUSES),
  result: z.json(),
  error: commandError.nullable(),
  attempts: z.number().int(),
  /** Milliseconds from the first delivery to the end. */
  duration_ms: z.number().int().nullable(),
  created_at: time,
  delivered_at: time.nullable(),
  completed_at: time.nullable(),
  expires_at: time.nullable(),
});
/** A queued command and what became of it. */
export type AgentCommand = z.infer<typeof agentCommand>;

export const agentCommandMethods = {
  "agent.command": {
    params: z.strictObject({
      agent_id: id,
      name: text(200).min(1),
      args: jsonObject(MAX_ARGS_BYTES).optional(),
      delivery: z.enum(["live", "queued"]).default("live"),
      timeout_ms: z.number().int().min(1).max(LIVE_TIMEOUT_MS.most).default(LIVE_TIMEOUT_MS.default),
      expires_ms: z.number().int().min(1).max(LONGEST_EXPIRY_MS).optional(),
      idempotency_key: idempotencyKey,
    }),
    result: z.object({
      command_id: id,
      status: z.enum(COMMAND_STATUSES),
      result: z.json().optional(),
      error: commandError.optional(),
    }),
  },
  "command.get": {
    params: z.strictObject({ command_id: id }),
    result: z.object({ command: agentCommand }),
  },
  "command.list": {
    params: z.strictObject({ agent_id: id, status: z.enum(COMMAND_STATUSES).optional(), ...page }),
    result: z.object({ items: z.array(agentCommand), next_cursor: z.string().nullable() }),
  },
  "command.cancel": {
    params: z.strictObject({ command_id: id }),
    result: z.object({ command: agentCommand }),
  },
} as const;
