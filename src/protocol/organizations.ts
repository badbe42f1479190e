import { z } from "zod";
import { id, lifetime, name, offset, page, text, time } from "./fields.ts";

export const organization = z.object({ id, name: z.string(), created_at: time, updated_at: time });
export type Organization = z.infer<typeof organization>;

export const userToken = z.object({
  /** The public part of the token. */
  id: z.string(),
  name: z.string(),
  user_id: id,
  created_at: time,
  expires_at: time.nullable(),
});
export type UserToken = z.infer<typeof userToken>;

export const organizationMethods = {
  "organization.get": { params: z.strictObject({}), result: z.object({ organization }) },
  "user_token.create": {
    params: z.strictObject({ name, expires_in: lifetime.optional() }),
    result: z.object({ user_token: userToken, token: z.string() }),
  },
  "user_token.list": {
    params: z.strictObject({ offset, ...page }),
    result: z.object({
      items: z.array(userToken),
      total: z.number().int(),
      next_cursor: z.string().nullable(),
    }),
  },
  "user_token.delete": {
    params: z.strictObject({ token_id: text(100) }),
    /** `deleted`: how many tokens, those among them that were made with it. Earlier servers do not say. */
    result: z.object({ ok: z.literal(true), deleted: z.number().int().optional() }),
  },
} as const;
