import { z } from "zod";
import { id, time } from "./fields.ts";

/**
 * Where the link to a gateway stands. `restarting`: it said that it comes back soon. `pairing_required`: a person has to
 * allow this server on the gateway. `refused`: trying again with the same settings is of no use. `backing_off`: it could
 * not be reached, and is tried again by itself.
 */
export const LINK_STATES = [
  "connecting",
  "ready",
  "restarting",
  "pairing_required",
  "refused",
  "backing_off",
] as const;
export type LinkState = (typeof LINK_STATES)[number];

export const gatewayLink = z.object({
  /** The gateway's id. */
  id,
  state: z.enum(LINK_STATES),
  /** Since when it is in this state. */
  since: time,
  /** The gateway protocol's number and the gateway's own version, as of the last time it was ready. */
  protocol: z.number().int().nullable(),
  version: z.string().nullable(),
  /** Of the latest answer, in milliseconds. */
  latency_ms: z.number().nullable(),
  /** What went wrong last, in the gateway's own words; null again once it is ready. */
  last_error: z.string().nullable(),
  /** What a person can do about it. */
  hint: z.string().nullable(),
  /** The request to approve on the gateway, while pairing is required. */
  pairing_request_id: z.string().nullable(),
  /** When the next try is due, if one is. */
  next_try_at: time.nullable(),
});
/** The link to a gateway, as operators see it. */
export type GatewayLink = z.infer<typeof gatewayLink>;

export const chatEntry = z.object({
  agent_id: id,
  /** All entries of one message and its reply share it. */
  run_id: z.string(),
  /** `sent` is the message from here; the others are what the gateway tells of the run. */
  kind: z.enum(["sent", "status", "delta", "final", "error", "aborted", "tool"]),
  /** `delta`: the whole reply so far. */
  text: z.string().nullable(),
  at: time,
});
/** One event of a conversation with an agent. */
export type ChatEntry = z.infer<typeof chatEntry>;
