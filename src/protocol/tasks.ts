import { z } from "zod";
import { id, idempotencyKey, name, offset, page, text, time } from "./fields.ts";

export const TASK_STATUSES = ["inbox", "in_progress", "review", "done"] as const;

export const task = z.object({
  id,
  organization_id: id,
  board_id: id,
  title: z.string(),
  description: z.string().nullable(),
  status: z.enum(TASK_STATUSES),
  assigned_agent_id: id.nullable(),
  in_progress_at: time.nullable(),
  created_at: time,
  updated_at: time,
});
/** A piece of work on a board. */
export type Task = z.infer<typeof task>;

const fields = {
  description: text(20_000).nullable().optional(),
  status: z.enum(TASK_STATUSES).optional(),
  assigned_agent_id: id.nullable().optional(),
};

export const taskMethods = {
  "task.create": {
    params: z.strictObject({ board_id: id, title: name, ...fields, idempotency_key: idempotencyKey }),
    result: z.object({ task }),
  },
  "task.get": { params: z.strictObject({ task_id: id }), result: z.object({ task }) },
  "task.list": {
    params: z.strictObject({
      board_id: id.optional(),
      assigned_agent_id: id.optional(),
      status: z.enum(TASK_STATUSES).optional(),
      offset,
      ...page,
    }),
    result: z.object({ items: z.array(task), total: z.number().int(), next_cursor: z.string().nullable() }),
  },
  "task.update": {
    params: z.strictObject({ task_id: id, title: name.optional(), ...fields }),
    result: z.object({ task }),
  },
  "task.delete": { params: z.strictObject({ task_id: id }), result: z.object({ ok: z.literal(true) }) },
} as const;
