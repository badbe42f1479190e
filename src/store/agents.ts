import type { MusterError } from "../protocol/errors.ts";
import { foldName, foldNameAsBefore, nameKeyOf } from "../protocol/names.ts";
import type { AgentRow, ShownRow } from "./agent-rows.ts";
import type { AgentFields } from "./changes.ts";
import type { Database, Queries } from "./database.ts";
import { type List, type Page, type PageRequest, readPage, readRows } from "./page.ts";
import { refusalBy } from "./refusals.ts";

const from = (database: Queries) => database`
  select a.*, p.last_seen_at, p.reported
  from agents a join presence p on p.agent_no = a.no`;

/** The columns of a ShownRow, of the agent `t` with its presence `p`. */
const shown = (database: Queries) => database`
  t.id, t.organization_id, t.board_id, t.gateway_id, t.name, t.status, t.is_board_lead, t.is_gateway_main,
  t.openclaw_session_id, t.heartbeat_config, t.identity_profile, t.identity_template, t.soul_template, t.last_error,
  t.version, t.created_at, t.updated_at, p.last_seen_at, p.reported`;

/** The agents with these ids that exist, as everyone may see them, in no order. */
export async function readAgents(database: Queries, ids: readonly string[]): Promise<ShownRow[]> {
  return database<ShownRow[]>`
    select ${shown(database)} from agents t join presence p on p.agent_no = t.no
    where t.id = any(${ids as string[]}::uuid[])`;
}

/** One agent of one organization; another organization's is not there. */
export async function readAgent(
  database: Queries,
  organizationId: string,
  id: string,
): Promise<AgentRow | undefined> {
  const [row] = await database<AgentRow[]>`
    ${from(database)} where a.id = ${id} and a.organization_id = ${organizationId}`;
  return row;
}

/**
 * The agent that a session at a gateway belongs to: the one whose session it is, or the one whose main session has the
 * same gateway agent.
 */
export async function findAgentBySession(
  database: Queries,
  gatewayId: string,
  sessionKey: string,
): Promise<{ id: string; organization_id: string } | undefined> {
  const main = /^agent:[^:]+:/.exec(sessionKey)?.[0];
  const [row] = await database<{ id: string; organization_id: string }[]>`
    select id, organization_id from agents
    where gateway_id = ${gatewayId} and openclaw_session_id = any(${[sessionKey, `${main ?? ""}main`]}::text[])
    order by openclaw_session_id <> ${sessionKey} limit 1`;
  return row;
}

/** Agents that are read at a time where all of a gateway are gone through. */
const ROSTER_BATCH = 500;

/** What there is of an agent in its gateway's list, and where that list has it. */
export type RosterRow = Pick<
  AgentRow,
  "id" | "name" | "slug" | "openclaw_session_id" | "is_gateway_main" | "heartbeat_config"
>;

/** All agents of a gateway, by their ids, some at a time. */
export async function* readAgentsOfGateway(
  database: Queries,
  gatewayId: string,
): AsyncGenerator<RosterRow[]> {
  for (let after: string | undefined; ; ) {
    const rows: RosterRow[] = await database<RosterRow[]>`
      select id, name, slug, openclaw_session_id, is_gateway_main, heartbeat_config from agents
      where gateway_id = ${gatewayId} ${after === undefined ? database`` : database`and id > ${after}`}
      order by id limit ${ROSTER_BATCH}`;
    if (rows.length > 0) yield rows;
    if (rows.length < ROSTER_BATCH) return;
    after = rows.at(-1)?.id;
  }
}

/** The agents of a gateway whose work there was given up, or waits to be tried again. */
export async function readStuckAgents(database: Queries, gatewayId: string): Promise<string[]> {
  const rows = await database<{ id: string }[]>`
    select id from agents
    where gateway_id = ${gatewayId} and (provision_failed is not null or work_state = 'waiting')`;
  return rows.map(({ id }) => id);
}

/** The agent of that name (without regard to case), on one board or anywhere; the oldest where there are several. */
export async function findAgentByName(
  database: Queries,
  organizationId: string,
  name: string,
  boardId: string | null,
): Promise<AgentRow | undefined> {
  const [row] = await database<AgentRow[]>`
    ${from(database)}
    where a.organization_id = ${organizationId} and a.name_key = any(${keysOf(name)}::text[])
      and (${boardId}::uuid is null or a.board_id = ${boardId})
    order by a.created_at, a.id limit 1`;
  return row;
}

export interface AgentFilter {
  organizationId: string;
  boardId?: string | undefined;
  gatewayId?: string | undefined;
  agentId?: string | undefined;
  status?: string | undefined;
  /** Part of the name, without regard to case, as plain text. */
  name?: string | undefined;
}

/** The agents that a filter lets through, as a list. */
function listOf(
  database: Queries,
  { organizationId, boardId, gatewayId, agentId, status, name }: AgentFilter,
): List {
  return {
    columns: shown(database),
    source: database`agents t join presence p on p.agent_no = t.no`,
    heavy: database`pg_column_size(t.heartbeat_config) + coalesce(pg_column_size(t.identity_profile), 0)
      + coalesce(octet_length(t.identity_template), 0) + coalesce(octet_length(t.soul_template), 0)
      + coalesce(pg_column_size(p.reported), 0)`,
    where: database`
      t.organization_id = ${organizationId}
      ${boardId === undefined ? database`` : database`and t.board_id = ${boardId}`}
      ${gatewayId === undefined ? database`` : database`and t.gateway_id = ${gatewayId}`}
      ${agentId === undefined ? database`` : database`and t.id = ${agentId}`}
      ${status === undefined ? database`` : database`and t.status = ${status}`}
      ${
        name === undefined
          ? database``
          : database`and (strpos(t.name_key, ${foldName(name)}) > 0
        or strpos(t.name_key, ${foldNameAsBefore(name)}) > 0)`
      }`,
  };
}

/** All keys under which an agent of this name can be found. */
function keysOf(name: string): string[] {
  return [nameKeyOf(name), foldNameAsBefore(name)];
}

/** A page of agents, newest first, with how many there are. */
export function listAgents(
  database: Queries,
  filter: AgentFilter,
  page: PageRequest,
): Promise<Page<ShownRow>> {
  return readPage<ShownRow>(database, listOf(database, filter), page);
}

/** A page of agents, newest first. */
export function readAgentPage(
  database: Queries,
  filter: AgentFilter,
  page: PageRequest,
): Promise<Omit<Page<ShownRow>, "total">> {
  return readRows<ShownRow>(database, listOf(database, filter), page);
}

/** What the registry keeps of every agent. Times are milliseconds since the epoch. */
export interface RestingRow
  extends Pick<
    AgentRow,
    "id" | "no" | "organization_id" | "board_id" | "gateway_id" | "name" | "status" | "version" | "generation"
  > {
  managed: boolean;
  every: string | null;
  last_seen_ms: number | null;
  /** Null for an agent at rest, as most are: reading it of each would take a start four times as long. */
  unrest: UnrestRow | null;
}

/** An agent's work at its gateway, and what came of it. */
export interface UnrestRow
  extends Pick<
    AgentRow,
    | "last_error"
    | "work_state"
    | "provision_action"
    | "provision_step"
    | "provision_attempt"
    | "provision_wakes"
    | "provision_force"
    | "provision_came_from"
    | "provision_failed"
  > {
  step_since_ms: number | null;
  due_ms: number | null;
}

/** Rows in one batch. */
const BATCH = 5_000;

/** Every agent of the database, in batches, for filling the registry at a start. */
export async function readAllResting(database: Database, take: (rows: RestingRow[]) => void): Promise<void> {
  // Going through the batches with a loop takes twice the time.
  await database<RestingRow[]>`${resting(database)}`.cursor(BATCH, take);
}

/** The same of one agent; undefined when it is not there. */
export async function readResting(database: Queries, id: string): Promise<RestingRow | undefined> {
  const [row] = await database<RestingRow[]>`${resting(database)} where a.id = ${id}`;
  return row;
}

const resting = (database: Queries) => database`
  select a.id, a.no, a.organization_id, a.board_id, a.gateway_id, a.name, a.status, a.version, a.generation,
    g.kind <> 'direct' as managed, a.heartbeat_config ->> 'every' as every,
    extract(epoch from p.last_seen_at)::float8 * 1000 as last_seen_ms,
    case when a.work_state <> 'idle' or a.provision_force or a.provision_attempt + a.provision_wakes > 0
      or coalesce(a.last_error, a.provision_action, a.provision_step, a.provision_came_from, a.provision_failed) is not null
      or coalesce(a.provision_step_since, a.provision_due_at) is not null
    then json_build_object(
      'last_error', a.last_error, 'work_state', a.work_state, 'provision_action', a.provision_action,
      'provision_step', a.provision_step, 'provision_attempt', a.provision_attempt, 'provision_wakes', a.provision_wakes,
      'provision_force', a.provision_force, 'provision_came_from', a.provision_came_from,
      'provision_failed', a.provision_failed,
      'step_since_ms', extract(epoch from a.provision_step_since)::float8 * 1000,
      'due_ms', extract(epoch from a.provision_due_at)::float8 * 1000
    ) end as unrest
  from agents a join presence p on p.agent_no = a.no join gateways g on g.id = a.gateway_id`;

/**
 * Why an agent cannot have its name; undefined when it can, as far as can be seen before it is written. The unique indexes
 * have the last word, but know nothing of the keys that earlier versions gave.
 *
 * @param except the agent that is to be named so, when it is there already
 */
export async function findTakenName(
  database: Queries,
  fields: Pick<AgentFields, "board_id" | "gateway_id" | "name" | "openclaw_session_id">,
  except: string | null = null,
): Promise<MusterError | undefined> {
  const keys = keysOf(fields.name);
  const [taken] = await database<{ constraint: string }[]>`
    select case
      when board_id = ${fields.board_id} and name_key = any(${keys}::text[]) then 'agents_name_taken_on_board'
      when name_key = any(${keys}::text[]) then 'agents_name_taken_on_gateway'
      else 'agents_session_key_taken' end as constraint
    from agents
    where gateway_id = ${fields.gateway_id} and id is distinct from ${except}
      and (name_key = any(${keys}::text[]) or openclaw_session_id = ${fields.openclaw_session_id})
    order by name_key <> all(${keys}::text[]) limit 1`;
  return taken && refusalBy(taken.constraint);
}
