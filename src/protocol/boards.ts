import { z } from "zod";
import { day, id, idempotencyKey, jsonObject, name, offset, page, text, time } from "./fields.ts";

export const board = z.object({
  id,
  organization_id: id,
  gateway_id: id.nullable(),
  name: z.string(),
  slug: z.string(),
  type: z.string(),
  objective: z.string().nullable(),
  success_metrics: z.record(z.string(), z.json()).nullable(),
  target_date: z.string().nullable(),
  max_agents: z.number().int(),
  created_at: time,
  updated_at: time,
});
/** Where agents work together; it has one gateway. */
export type Board = z.infer<typeof board>;

const fields = {
  slug: text(200)
    .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, "must be lower case letters, digits and single dashes")
    .optional(),
  gateway_id: id.nullable().optional(),
  type: text(100).optional(),
  objective: text(10_000).nullable().optional(),
  success_metrics: jsonObject(16_384).nullable().optional(),
  target_date: day.nullable().optional(),
  /** How many agents its lead may have made, the leads not counted. */
  max_agents: z.number().int().min(1).max(10_000).optional(),
};

export const boardMethods = {
  "board.create": {
    params: z.strictObject({ name, ...fields, idempotency_key: idempotencyKey }),
    result: z.object({ board }),
  },
  "board.get": { params: z.strictObject({ board_id: id }), result: z.object({ board }) },
  "board.list": {
    params: z.strictObject({ gateway_id: id.optional(), offset, ...page }),
    result: z.object({ items: z.array(board), total: z.number().int(), next_cursor: z.string().nullable() }),
  },
  "board.update": {
    params: z.strictObject({ board_id: id, name: name.optional(), ...fields }),
    result: z.object({ board }),
  },
  "board.delete": { params: z.strictObject({ board_id: id }), result: z.object({ ok: z.literal(true) }) },
} as const;
