import { z } from "zod";
import { id, instant, page, text, time } from "./fields.ts";

export const activityEvent = z.object({
  id,
  type: z.string(),
  message: z.string(),
  organization_id: id,
  board_id: id.nullable(),
  agent_id: id.nullable(),
  task_id: id.nullable(),
  created_at: time,
});
/** One entry of the activity log. */
export type ActivityEvent = z.infer<typeof activityEvent>;

export const activityMethods = {
  "activity.list": {
    params: z.strictObject({
      board_id: id.optional(),
      agent_id: id.optional(),
      type: text(100).optional(),
      since: instant.optional(),
      ...page,
    }),
    result: z.object({ items: z.array(activityEvent), next_cursor: z.string().nullable() }),
  },
} as const;
