import { z } from "zod";
import { text } from "./fields.ts";

const topicName = text(200).min(1);
const position = { epoch: z.string(), offset: z.number().int().min(0) };
const record = z.record(z.string(), z.unknown());

export const topicMethods = {
  subscribe: {
    params: z.strictObject({ topic: topicName, since: z.strictObject(position).optional() }),
    result: z.object({
      topic: z.string(),
      ...position,
      recovered: z.boolean().optional(),
      items: z.array(record).optional(),
      changes: z.array(record).optional(),
      more: z.boolean(),
    }),
  },
  unsubscribe: { params: z.strictObject({ topic: topicName }), result: z.object({}) },
} as const;

/** What subscribers of a topic are sent. */
export const topicNotifications = {
  snapshot: z.object({ topic: z.string(), items: z.array(record), more: z.boolean() }),
  change: z.object({
    topic: z.string(),
    offset: z.number().int(),
    upserts: z.array(record),
    removes: z.array(z.string()),
  }),
  seen: z.object({ topic: z.string(), at: z.string(), agents: z.array(z.tuple([z.string(), z.number()])) }),
  reset: z.object({ topic: z.string(), ...position, items: z.array(record), more: z.boolean() }),
  end: z.object({ topic: z.string(), reason: z.string() }),
} as const;
