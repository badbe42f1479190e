import { z } from "zod";
import { agent, heartbeatReport } from "./agents.ts";
import type { Fault } from "./content.ts";
import { id, text, time } from "./fields.ts";
import { SERVER_BOUNDS } from "./frame-bounds.ts";

const GREATEST_CHANNEL = 0xffff_ffff;
const channel = z.number().int().min(0).max(GREATEST_CHANNEL);
/** Channels of one message. */
const MOST_NAMED = SERVER_BOUNDS.channelNumbers;

/** Numbers of channels: an array or, as bytes, little-endian u32s. Whoever reads them stops at the first that is none. */
const channels = z.custom<readonly number[] | Uint8Array>().check(({ value, issues }) => {
  const fault = channelsFault(value);
  if (fault) issues.push({ code: "custom", ...fault, input: value });
});

function channelsFault(value: unknown): Fault | undefined {
  const isBytes = value instanceof Uint8Array;
  if (!isBytes && !Array.isArray(value))
    return { path: [], message: "must be an array of channels, or bytes of little-endian u32s" };
  if (isBytes && value.length % 4 !== 0)
    return { path: [], message: "must have four bytes for each channel" };
  if (value.length > (isBytes ? 4 : 1) * MOST_NAMED)
    return { path: [], message: `must name at most ${MOST_NAMED} channels` };
  if (isBytes) return undefined;
  const place = value.findIndex((ch) => !Number.isInteger(ch) || ch < 0 || ch > GREATEST_CHANNEL);
  if (place === -1) return undefined;
  return { path: [place], message: `must be a whole number from 0 to ${GREATEST_CHANNEL}` };
}
/** Numbers heartbeats within a session, rising. */
const beatNumber = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const attached = {
  ch: channel,
  agent,
  heartbeat: z.object({ every_ms: z.number().int(), offline_after_ms: z.number().int() }),
};

export const principal = z.union([
  z.object({ kind: z.literal("user"), id, organization_id: id, role: z.enum(["owner", "admin", "member"]) }),
  z.object({ kind: z.literal("agent"), id, organization_id: id }),
  z.object({ kind: z.literal("host") }),
]);

export const sessionMethods = {
  hello: {
    params: z.looseObject({
      token: text(500).optional(),
      client: z.looseObject({ name: text(200).optional(), version: text(100).optional() }).optional(),
    }),
    result: z.object({
      session: z.string(),
      protocol: z.literal(1),
      server: z.object({ name: z.string(), version: z.string() }),
      node: z.string(),
      time,
      principal,
      limits: z.record(z.string(), z.number()),
      ...z.object(attached).partial().shape,
    }),
  },
  "agent.attach": {
    params: z.strictObject({ token: text(500) }),
    // What the session may do from its first agent on.
    result: z.object({ ...attached, limits: z.record(z.string(), z.number()).optional() }),
  },
  "agent.detach": {
    params: z.strictObject({ ch: channel.default(0), offline: z.boolean().default(false) }),
    result: z.object({}),
  },
  heartbeat: {
    params: z.strictObject({ n: beatNumber.optional(), ch: channel.default(0), ...heartbeatReport }),
    result: z.object({ agent }),
  },
  heartbeats: {
    params: z.strictObject({
      n: beatNumber,
      chs: channels,
    }),
    result: z.object({}),
  },
} as const;

/** What the server sends of its own accord to agents' sessions. */
export const serverNotifications = {
  ack: z.object({ n: beatNumber }),
  detached: z.object({ ch: channel, reason: z.enum(["superseded", "deleted", "revoked"]) }),
  heartbeat_interval: z.object({ ch: channel.optional(), every_ms: z.number().int() }),
  drain: z.object({ reconnect_after_ms: z.number().int() }),
} as const;

export const serverRequests = {
  command: {
    params: z.object({
      ch: channel,
      command_id: id,
      name: z.string(),
      args: z.record(z.string(), z.json()),
    }),
    result: z.json(),
  },
  config: {
    params: z.object({ ch: channel, agent, hash: z.string(), token: z.string().optional() }),
    result: z.object({ applied: z.string() }),
  },
} as const;
