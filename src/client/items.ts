import type { ActivityEvent } from "../protocol/activity.ts";
import type { AgentCommand } from "../protocol/agent-commands.ts";
import type { Agent } from "../protocol/agents.ts";
import type { ChatEntry, GatewayLink } from "../protocol/gateway-links.ts";
import { count, flag, instant, nullable, optional, record, shape, text } from "./guards.ts";

/** What is looked at of the things that servers tell of: by what they are told apart, merged and shown. */

export const agentItem = shape<Agent>({
  id: text,
  name: text,
  status: text,
  board_id: nullable(text),
  connected: flag,
  last_seen_at: nullable(instant),
  reported: nullable(record),
  version: count,
});

export const activityItem = shape<ActivityEvent>({ id: text, type: text, message: text });

export const commandItem = shape<AgentCommand>({ id: text, name: text, status: text });

export const linkItem = shape<GatewayLink>({ id: text, state: text });

export const chatItem = shape<ChatEntry>({ agent_id: text, run_id: text, kind: text });

/** Of a kind that this SDK does not know. */
export interface OtherItem {
  id?: string | undefined;
  [field: string]: unknown;
}
export const otherItem = shape<OtherItem>({ id: optional(text) });
