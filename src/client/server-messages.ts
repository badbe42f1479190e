import type { z } from "zod";
import type { serverNotifications, serverRequests } from "../protocol/session.ts";
import { count, finite, optional, record, type Shape, shape, text } from "./guards.ts";
import { agentItem } from "./items.ts";

type Notifications = { [M in keyof typeof serverNotifications]: z.output<(typeof serverNotifications)[M]> };
type Requests = { [M in keyof typeof serverRequests]: z.output<(typeof serverRequests)[M]["params"]> };

/** What is looked at of the server's own notifications. */
export const NOTIFICATIONS: {
  readonly [M in Exclude<keyof Notifications, "detached">]: Shape<Notifications[M]>;
} & { readonly detached: Shape<{ reason: string }> } = {
  ack: shape({ n: count }),
  // Of a later server it can be a reason that this SDK does not know.
  detached: shape({ reason: text }),
  heartbeat_interval: shape({ every_ms: finite }),
  drain: shape({ reconnect_after_ms: finite }),
};

/** The same of its requests' params. */
export const SERVER_REQUESTS: { readonly [M in keyof Requests]: Shape<Requests[M]> } = {
  command: shape({ command_id: text, name: text, args: record }),
  config: shape({ agent: agentItem, hash: text, token: optional(text) }),
};
