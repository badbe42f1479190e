import { z } from "zod";
import { STATUSES } from "../../machines/statuses.ts";
import { ACTIVITIES } from "./agent-activities.ts";
import { parseDuration } from "./duration.ts";
import { id, idempotencyKey, jsonObject, name, offset, page, template, text, time } from "./fields.ts";
import { MAX_STATS_BYTES } from "./limits.ts";

export const DEFAULT_HEARTBEAT_CONFIG = { every: "10m", target: "none" };

/** Milliseconds between an agent's heartbeats by its configuration; 0 when it says nothing that can be read. */
export function heartbeatEveryMs(config: { every?: unknown }): number {
  return typeof config.every === "string" ? (parseDuration(config.every) ?? 0) : 0;
}

/** How often an agent beats (`every`), and whatever else its gateway understands. */
export const heartbeatConfig = jsonObject(16_384)
  .transform((given) => ({ ...DEFAULT_HEARTBEAT_CONFIG, ...given }))
  .refine(({ every }) => heartbeatEveryMs({ every }) >= 1_000, {
    path: ["every"],
    message: "must be a duration of at least 1s, like 30s or 10m",
  });

/** Free facts about an agent: values become trimmed text, lists are joined, empty entries are dropped. */
export const identityProfile = jsonObject(65_536)
  // Trimmed, such a key could be one that no frame may hold, and nobody could be sent the agent any more.
  .refine(
    (profile) => Object.keys(profile).every((key) => key.trim() !== "__proto__"),
    "must not have the key __proto__",
  )
  .transform((profile) => {
    const entries = Object.entries(profile).flatMap(([key, value]): [string, string][] => {
      const words = (Array.isArray(value) ? value : [value])
        .map((word) =>
          (word === null ? "" : typeof word === "object" ? JSON.stringify(word) : String(word)).trim(),
        )
        .filter((word) => word !== "");
      return key.trim() === "" || words.length === 0 ? [] : [[key.trim(), words.join(", ")]];
    });
    return entries.length === 0 ? null : Object.fromEntries(entries);
  });

/** What a heartbeat may say. */
export const heartbeatReport = {
  status: z.enum(["online", "offline"], "must be online or offline").optional(),
  activity: z.enum(ACTIVITIES, "must be idle, busy or blocked").optional(),
  stats: jsonObject(MAX_STATS_BYTES).optional(),
};

export const agent = z.object({
  id,
  organization_id: id,
  board_id: id.nullable(),
  gateway_id: id,
  name: z.string(),
  status: z.enum(STATUSES),
  is_board_lead: z.boolean(),
  is_gateway_main: z.boolean(),
  openclaw_session_id: z.string(),
  heartbeat_config: z.record(z.string(), z.json()),
  identity_profile: z.record(z.string(), z.string()).nullable(),
  identity_template: z.string().nullable(),
  soul_template: z.string().nullable(),
  last_seen_at: time.nullable(),
  connected: z.boolean(),
  reported: z.record(z.string(), z.json()).nullable(),
  last_error: z.string().nullable(),
  version: z.number().int(),
  created_at: time,
  updated_at: time,
});
/** An agent as everyone sees it: in results, pushes and HTTP answers alike. */
export type Agent = z.infer<typeof agent>;

const settings = {
  heartbeat_config: heartbeatConfig.nullable().optional(),
  identity_profile: identityProfile.nullable().optional(),
  identity_template: template.optional(),
  soul_template: template.optional(),
  is_board_lead: z.boolean().optional(),
};
const wait = z.boolean().default(false);

export const agentMethods = {
  "agent.create": {
    params: z.strictObject({
      name,
      board_id: id.nullable().optional(),
      ...settings,
      wait,
      idempotency_key: idempotencyKey,
    }),
    result: z.object({ agent, token: z.string().optional() }),
  },
  "agent.get": { params: z.strictObject({ agent_id: id }), result: z.object({ agent }) },
  "agent.list": {
    params: z.strictObject({
      board_id: id.optional(),
      gateway_id: id.optional(),
      status: z.enum(STATUSES).optional(),
      name: text(200).optional(),
      offset,
      ...page,
    }),
    result: z.object({ items: z.array(agent), total: z.number().int(), next_cursor: z.string().nullable() }),
  },
  "agent.update": {
    params: z.strictObject({
      agent_id: id,
      name: name.optional(),
      board_id: id.nullable().optional(),
      is_gateway_main: z.boolean().optional(),
      ...settings,
      /** Refused with its own word: see the handler. */
      status: z.unknown().optional(),
      force: z.boolean().default(false),
      wait,
      idempotency_key: idempotencyKey,
    }),
    result: z.object({ agent }),
  },
  "agent.delete": {
    params: z.strictObject({
      agent_id: id,
      force: z.boolean().default(false),
      wait,
      idempotency_key: idempotencyKey,
    }),
    result: z.object({ ok: z.literal(true) }),
  },
  "agent.heartbeat": {
    params: z.strictObject({ agent_id: id, ...heartbeatReport }),
    result: z.object({ agent }),
  },
  "agent.heartbeat_or_create": {
    params: z.strictObject({ name: name.optional(), board_id: id.nullable().optional(), ...heartbeatReport }),
    result: z.object({ agent, created: z.boolean() }),
  },
  "agent.token.rotate": { params: z.strictObject({ agent_id: id }), result: z.object({ token: z.string() }) },
} as const;
