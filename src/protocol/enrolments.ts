import { z } from "zod";
import { agent, heartbeatConfig } from "./agents.ts";
import { id, lifetime, name, offset, page, text, time } from "./fields.ts";

export const enrolment = z.object({
  /** The public part of the token. */
  id: z.string(),
  board_id: id,
  uses_left: z.number().int().nullable(),
  created_at: time,
  expires_at: time.nullable(),
});
/** A token with which workers and devices register themselves on a board. */
export type Enrolment = z.infer<typeof enrolment>;

export const enrolmentMethods = {
  "enrolment.create": {
    params: z.strictObject({
      board_id: id,
      uses: z.number().int().min(1).max(1_000_000_000).optional(),
      expires_in: lifetime.optional(),
    }),
    result: z.object({ enrolment, token: z.string() }),
  },
  "enrolment.list": {
    params: z.strictObject({ board_id: id.optional(), offset, ...page }),
    result: z.object({
      items: z.array(enrolment),
      total: z.number().int(),
      next_cursor: z.string().nullable(),
    }),
  },
  "enrolment.delete": {
    params: z.strictObject({ enrolment_id: text(100) }),
    result: z.object({ ok: z.literal(true) }),
  },
  "agent.enroll": {
    params: z.strictObject({
      token: text(500),
      name,
      heartbeat_config: heartbeatConfig.nullable().optional(),
    }),
    result: z.object({ agent, token: z.string() }),
  },
} as const;
