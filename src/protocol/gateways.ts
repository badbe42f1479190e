import { z } from "zod";
import { STATUSES } from "../../machines/statuses.ts";
import { agent } from "./agents.ts";
import { id, idempotencyKey, name, offset, page, text, time } from "./fields.ts";
import { gatewayLink } from "./gateway-links.ts";
import { hasNoControls, NO_CONTROLS } from "./names.ts";

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
  /** Whether any certificate is taken, also one that the gateway signed itself. */
  allow_insecure_tls: z.boolean(),
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
  workspace_root: text(2_000).min(1).refine(hasNoControls, NO_CONTROLS).nullable().optional(),
  allow_insecure_tls: z.boolean().optional(),
};
/** An agent's id at its gateway. */
const gatewayAgentId = text(200).min(1);
const rosterFact = z.union([z.string(), z.record(z.string(), z.json())]).nullable();

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
  "gateway.status": {
    params: z.strictObject({ gateway_id: id }),
    result: z.object({
      /** Null for a gateway to which there is no link. */
      link: gatewayLink.nullable(),
      /** Its agents, by status. */
      agents: z.record(z.enum(STATUSES), z.number().int()),
      /** Agents whose work at the gateway was given up. */
      failed: z.number().int(),
    }),
  },
  "gateway.retry": {
    params: z.strictObject({ gateway_id: id, agent_id: id.optional() }),
    result: z.object({ retried: z.number().int() }),
  },
  "gateway.import": {
    params: z.strictObject({
      gateway_id: id,
      board_id: id,
      agent_ids: z.array(gatewayAgentId).max(1_000).optional(),
    }),
    result: z.object({
      imported: z.array(agent),
      skipped: z.array(z.object({ id: z.string(), name: z.string().nullable(), reason: z.string() })),
      /** Agents there that this answer has no room for; another `gateway.import` goes on with them. Left out: none. */
      more: z.number().int().optional(),
    }),
  },
  "gateway.diff": {
    params: z.strictObject({ gateway_id: id }),
    result: z.object({
      items: z.array(
        z.object({
          kind: z.enum(["missing", "extra", "name", "workspace", "heartbeat"]),
          agent_id: id.nullable(),
          gateway_agent_id: z.string(),
          wanted: rosterFact,
          found: rosterFact,
        }),
      ),
      /** Differences that this answer has no room for. Left out: none. */
      more: z.number().int().optional(),
    }),
  },
  "gateway.delete": { params: z.strictObject({ gateway_id: id }), result: z.object({ ok: z.literal(true) }) },
} as const;
