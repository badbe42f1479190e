import type { Action, Status, Step, WorkState } from "../../machines/model.ts";
import type { Agent } from "../protocol/agents.ts";

/** A row of `agents` with its presence, as Postgres gives it. */
export interface AgentRow {
  id: string;
  no: number;
  organization_id: string;
  board_id: string | null;
  gateway_id: string;
  name: string;
  slug: string;
  status: Status;
  is_board_lead: boolean;
  is_gateway_main: boolean;
  openclaw_session_id: string;
  heartbeat_config: Agent["heartbeat_config"];
  identity_profile: Agent["identity_profile"];
  identity_template: string | null;
  soul_template: string | null;
  last_error: string | null;
  version: number;
  work_state: WorkState;
  provision_action: Action | null;
  provision_step: Step | null;
  provision_step_since: Date | null;
  provision_attempt: number;
  provision_wakes: number;
  provision_due_at: Date | null;
  provision_force: boolean;
  provision_came_from: Status | null;
  provision_failed: Action | null;
  generation: number;
  token_sealed: Uint8Array | null;
  created_at: Date;
  updated_at: Date;
  last_seen_at: Date | null;
  reported: Agent["reported"];
}

/** What of an agent's row everyone may see, and is pushed by the hundred thousand: reading all of it takes half as long again. */
export type ShownRow = Pick<
  AgentRow,
  | "id"
  | "organization_id"
  | "board_id"
  | "gateway_id"
  | "name"
  | "status"
  | "is_board_lead"
  | "is_gateway_main"
  | "openclaw_session_id"
  | "heartbeat_config"
  | "identity_profile"
  | "identity_template"
  | "soul_template"
  | "last_error"
  | "version"
  | "created_at"
  | "updated_at"
  | "last_seen_at"
  | "reported"
>;

/** What the server knows of an agent and its row does not say, or not yet. */
export interface Presence {
  /** Whether a live channel carries it. */
  connected: boolean;
  /** When it was last seen, as far as it is committed: milliseconds since the epoch, 0 for never. */
  lastSeenMs: number;
}

/** The agent as everyone may see it. */
export function toAgent(row: ShownRow, { connected, lastSeenMs }: Presence): Agent {
  const lastSeen = Math.max(lastSeenMs, row.last_seen_at?.getTime() ?? 0);
  return {
    id: row.id,
    organization_id: row.organization_id,
    board_id: row.board_id,
    gateway_id: row.gateway_id,
    name: row.name,
    status: row.status,
    is_board_lead: row.is_board_lead,
    is_gateway_main: row.is_gateway_main,
    openclaw_session_id: row.openclaw_session_id,
    heartbeat_config: row.heartbeat_config,
    identity_profile: row.identity_profile,
    identity_template: row.identity_template,
    soul_template: row.soul_template,
    last_seen_at: lastSeen === 0 ? null : new Date(lastSeen).toISOString(),
    connected,
    reported: row.reported,
    last_error: row.last_error,
    version: row.version,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

const NOT_IN_A_SLUG = /[^a-z0-9]+/g;

/** A name as part of keys and folder names: a-z, 0-9 and single dashes. Empty when nothing of it is left. */
export function slugOf(name: string): string {
  return name.toLowerCase().replace(NOT_IN_A_SLUG, "-").replace(/^-|-$/g, "");
}
