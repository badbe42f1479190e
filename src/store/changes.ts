import type { Status, WorkState } from "../../machines/model.ts";
import type { MintedToken } from "../auth/tokens.ts";
import type { ActivityDraft } from "./activity.ts";
import type { AgentRow } from "./agent-rows.ts";
import type { Queries } from "./database.ts";

/** The columns that the machine decides. */
export interface LifeColumns {
  status: Status;
  work_state: WorkState;
  provision_action: AgentRow["provision_action"];
  provision_step: AgentRow["provision_step"];
  provision_step_since: Date | null;
  provision_attempt: number;
  provision_wakes: number;
  provision_due_at: Date | null;
  provision_force: boolean;
  provision_came_from: Status | null;
  provision_failed: AgentRow["provision_action"];
  generation: number;
  last_error: string | null;
}

/** The columns that requests set. */
export interface AgentFields {
  board_id: string | null;
  gateway_id: string;
  name: string;
  name_key: string;
  slug: string;
  is_board_lead: boolean;
  is_gateway_main: boolean;
  openclaw_session_id: string;
  heartbeat_config: AgentRow["heartbeat_config"];
  identity_profile: AgentRow["identity_profile"];
  identity_template: string | null;
  soul_template: string | null;
}

interface Common {
  agentId: string;
  at: Date;
  /** Committed with it. */
  events: ActivityDraft[];
  /** A fresh token to add; `sealed` is kept until the work ends, for bringing it to the workspace. */
  token: { minted: Pick<MintedToken, "id" | "hash">; sealed: Uint8Array | null } | null;
  /** More to write in the same transaction; it can make the change fail alone. */
  also: ((transaction: Queries) => Promise<void>) | null;
}

/** A sign of life that a change is of: the agent's small key, and when, in milliseconds since the epoch. */
export interface Seen {
  no: number;
  at: number;
}

/** A new agent. */
export interface Insertion extends Common {
  kind: "insert";
  organizationId: string;
  life: LifeColumns;
  fields: AgentFields;
}

/** A transition, or a change of settings, of the agent that is at `fromVersion`: afterwards it is one further. */
export interface Transition extends Common {
  kind: "transition";
  fromVersion: number;
  life: LifeColumns;
  /** Null: the settings stay. */
  fields: Partial<AgentFields> | null;
  seen: Seen | null;
  /** The sealed token has been brought to where it belongs. */
  forgetSealed: boolean;
}

/** What leaves the agent's row as it is: an entry in the log, a token. */
export interface Remark extends Common {
  kind: "remark";
  seen: Seen | null;
}

/** The end: the agent's row goes, and what refers to it is released. */
export interface Removal extends Common {
  kind: "removal";
  fromVersion: number;
}

/** One agent's part of a group commit. */
export type Change = Insertion | Transition | Remark | Removal;

/** What Postgres made of a change. */
export interface Committed {
  /** The agent's version now; 0 after a removal, null where the agent's row stayed as it was. */
  version: number | null;
  /** Only for an insertion: the agent's small key. */
  no: number | null;
  /** The place in the heartbeat journal of the sign of life that it was; null where it was none, or that is not known. */
  seq: number | null;
}
