import { z } from "zod";
import { id, idempotencyKey, text } from "./fields.ts";

export const agentMessageMethods = {
  "agent.message": {
    params: z.strictObject({
      agent_id: id,
      text: text(65_536).regex(/\S/, "must not be empty"),
      idempotency_key: idempotencyKey,
    }),
    result: z.object({ run_id: z.string() }),
  },
} as const;
