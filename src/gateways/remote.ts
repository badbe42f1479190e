import type { ChatEntry, GatewayLink } from "../protocol/gateway-links.ts";
import type { AgentBrief, GatewayBrief, RosterBrief } from "./driver.ts";

/** An agent as a gateway has it, or as it should have it. Null: the gateway does not say, or has none of its own. */
export interface RosterEntry {
  /** The gateway's own id of it. */
  id: string;
  name: string | null;
  workspace: string | null;
  heartbeat: Record<string, unknown> | null;
  /** Whether it is the gateway's own default agent, which cannot be removed. */
  isDefault: boolean;
}

/** An entry of a conversation, before the agent is known that it belongs to. */
export type ChatEvent = Omit<ChatEntry, "agent_id">;

/** What a gateway's link reports by itself. */
export interface GatewayReports {
  /** The link's state or what is known of it has changed. */
  link(organizationId: string, link: GatewayLink): void;
  /** The agent of that session did something: it lives. At most every 30 s a session. */
  seen(gatewayId: string, sessionKey: string): void;
  chat(gatewayId: string, sessionKey: string, event: ChatEvent): void;
}

/** Gateways that are reached over a link, and have more than the steps of a driver. */
export interface RemoteGateways {
  /** Undefined where there is no link to that gateway. */
  linkOf(gatewayId: string): GatewayLink | undefined;
  /** Goes on at once: with a link that waits, and with one that was refused. */
  reconnect(gatewayId: string): void;
  /** A gateway was made, or its settings were changed: its link follows. Other kinds than ours are ignored. */
  changed(gateway: GatewayBrief & { kind: string }): void;
  removed(gatewayId: string): void;
  /** Every agent that the gateway has, by the gateway's own ids. There can be very many. Throws GatewayError. */
  inventory(gateway: GatewayBrief): Promise<Map<string, RosterEntry>>;
  /** How the gateway should have an agent. */
  wanted(agent: RosterBrief, gateway: GatewayBrief): RosterEntry;
  /**
   * Sends a message into the agent's session; its reply comes as reports. The same key again sends nothing. Throws
   * GatewayError.
   */
  message(
    to: { agent: AgentBrief; gateway: GatewayBrief },
    text: string,
    key: string,
  ): Promise<{ run_id: string }>;
}
