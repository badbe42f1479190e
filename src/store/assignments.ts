import type { AgentRow } from "./agent-rows.ts";
import type { BoardRow } from "./boards.ts";
import type { Queries } from "./database.ts";
import type { GatewayRow } from "./gateways.ts";

/** An agent with its gateway and its board: what work at the gateway needs. */
export interface AssignmentRow {
  agent: AgentRow;
  gateway: GatewayRow;
  board: Pick<BoardRow, "id" | "name" | "objective"> | null;
}

type Joined = AgentRow & {
  g: Omit<GatewayRow, "token_sealed" | "created_at" | "updated_at">;
  gateway_token_sealed: Uint8Array | null;
  gateway_created_at: Date;
  gateway_updated_at: Date;
  b: AssignmentRow["board"];
};

const joined = (database: Queries) => database`
  select a.*, p.last_seen_at, p.reported,
    json_build_object('id', g.id, 'organization_id', g.organization_id, 'name', g.name, 'kind', g.kind, 'url', g.url,
      'main_session_key', g.main_session_key, 'workspace_root', g.workspace_root,
      'allow_insecure_tls', g.allow_insecure_tls) as g,
    g.token_sealed as gateway_token_sealed, g.created_at as gateway_created_at, g.updated_at as gateway_updated_at,
    case when b.id is null then null else json_build_object('id', b.id, 'name', b.name, 'objective', b.objective) end as b
  from agents a
  join presence p on p.agent_no = a.no
  join gateways g on g.id = a.gateway_id
  left join boards b on b.id = a.board_id`;

function toAssignment({
  g,
  gateway_token_sealed,
  gateway_created_at,
  gateway_updated_at,
  b,
  ...agent
}: Joined): AssignmentRow {
  return {
    agent,
    gateway: {
      ...g,
      token_sealed: gateway_token_sealed,
      created_at: gateway_created_at,
      updated_at: gateway_updated_at,
    },
    board: b,
  };
}

/** Undefined when the agent is not there any more. */
export async function readAssignment(database: Queries, agentId: string): Promise<AssignmentRow | undefined> {
  const [row] = await database<Joined[]>`${joined(database)} where a.id = ${agentId}`;
  return row && toAssignment(row);
}

/** Every gateway of one kind. */
export async function readGatewaysOfKind(database: Queries, kind: string): Promise<GatewayRow[]> {
  return database<GatewayRow[]>`select * from gateways where kind = ${kind}`;
}

/** The agents of one kind of gateway that have been provisioned and are not being deleted. */
export async function readProvisioned(database: Queries, kind: string): Promise<AssignmentRow[]> {
  const rows = await database<Joined[]>`
    ${joined(database)}
    where g.kind = ${kind} and a.status <> 'deleting'
      and (a.provision_action is null or a.provision_step = 'wake')`;
  return rows.map(toAssignment);
}
