import { z } from "zod";
import { id, idempotencyKey, name, offset, page, text, time } from "./fields.ts";

export const GATEWAY_KINDS = ["openclaw", "local", "direct"] as const;
export type GatewayKind = (typeof GATEWAY_KINDS)[number];

export const gateway = z.object({
  id,
  organization_id: id,
  name: z.string(),
  kind: z.enum(GATEWAY_KINDS),
  url: z.string().nullable(),
  /** Whether a token is kept; the token itself is never shown. */
  has_token: z.boolean(),
  main_session_key: z.string().nullable(),
  workspace_root: z.string().nullable(),
  created_at: time,
  updated_at: time,
});
/** Where agents run. */
export type Gateway = z.infer<typeof gateway>;

const fields = {
  url: text(2_000)
    .regex(/^(wss?|https?):\/\/[^\s]+$/, "must be a WebSocket URL like ws://127.0.0.1:18789")
    .nullable()
    .optional(),
  token: text(4_000).min(1).nullable().optional(),
  main_session_key: text(400).min(1).nullable().optional(),
  workspace_root: text(2_000).min(1).nullable().optional(),
};

export const gatewayMethods = {
  "gateway.create": {
    params: z.strictObject({
      name,
      kind: z.enum(GATEWAY_KINDS).default("openclaw"),
      ...fields,
      idempotency_key: idempotencyKey,
    }),
    result: z.object({ gateway }),
  },
  "gateway.get": { params: z.strictObject({ gateway_id: id }), result: z.object({ gateway }) },
  "gateway.list": {
    params: z.strictObject({ offset, ...page }),
    result: z.object({
      items: z.array(gateway),
      total: z.number().int(),
      next_cursor: z.string().nullable(),
    }),
  },
  "gateway.update": {
    params: z.strictObject({ gateway_id: id, name: name.optional(), ...fields }),
    result: z.object({ gateway }),
  },
  "gateway.delete": { params: z.strictObject({ gateway_id: id }), result: z.object({ ok: z.literal(true) }) },
} as const;
