import {
  type AgentCommand,
  type CommandError,
  type CommandStatus,
  MOST_WAITING,
} from "../protocol/agent-commands.ts";
import { MusterError } from "../protocol/errors.ts";
import type { Json } from "../protocol/fields.ts";
import type { Queries } from "./database.ts";
import { type Fragment, type List, type Page, type PageRequest, readPage, readRows } from "./page.ts";

export interface AgentCommandRow {
  id: string;
  seq: number;
  organization_id: string;
  agent_id: string;
  name: string;
  args: Record<string, Json> | null;
  status: CommandStatus;
  result: Json;
  error: CommandError | null;
  attempts: number;
  created_at: Date;
  delivered_at: Date | null;
  completed_at: Date | null;
  expires_at: Date | null;
}

export function toAgentCommand({ seq: _seq, ...row }: AgentCommandRow): AgentCommand {
  const { delivered_at, completed_at } = row;
  return {
    ...row,
    duration_ms: delivered_at && completed_at ? completed_at.getTime() - delivered_at.getTime() : null,
    created_at: row.created_at.toISOString(),
    delivered_at: delivered_at?.toISOString() ?? null,
    completed_at: completed_at?.toISOString() ?? null,
    expires_at: row.expires_at?.toISOString() ?? null,
  };
}

/** Queues a command. Throws `conflict` when as many as may be wait for the agent already. */
export async function insertAgentCommand(
  transaction: Queries,
  command: Pick<
    AgentCommandRow,
    "id" | "organization_id" | "agent_id" | "name" | "args" | "created_at" | "expires_at"
  >,
): Promise<AgentCommandRow> {
  // Two at once must not both take the last place.
  await transaction`select pg_advisory_xact_lock(hashtextextended(${command.agent_id}, 0))`;
  const [waiting] = await transaction<{ count: number }[]>`
    select count(*) from agent_commands where agent_id = ${command.agent_id} and status in ('queued', 'delivered')`;
  if ((waiting?.count ?? 0) >= MOST_WAITING)
    throw new MusterError(
      "conflict",
      `${MOST_WAITING} commands wait for this agent already. Cancel some, or wait.`,
    );
  const args = command.args === null ? null : transaction.json(command.args);
  const [row] = await transaction<AgentCommandRow[]>`
    insert into agent_commands ${transaction({ ...command, args })} returning *`;
  if (!row) throw new Error("an insert gave no row back");
  return row;
}

export async function readAgentCommand(
  database: Queries,
  organizationId: string,
  id: string,
): Promise<AgentCommandRow | undefined> {
  const [row] = await database<AgentCommandRow[]>`
    select * from agent_commands where id = ${id} and organization_id = ${organizationId}`;
  return row;
}

/** An agent's commands, newest first. */
export function listAgentCommands(
  database: Queries,
  filter: { agentId: string; status?: CommandStatus | undefined },
  page: PageRequest,
): Promise<Page<AgentCommandRow>> {
  const list = listOf(
    database,
    database`t.agent_id = ${filter.agentId}
      ${filter.status === undefined ? database`` : database`and t.status = ${filter.status}`}`,
  );
  return readPage<AgentCommandRow>(database, list, page);
}

/** All of an agent's commands that wait or are with it, and so many of the latest that have ended, newest first. */
export function readPresentCommands(
  database: Queries,
  { agentId, ended }: { agentId: string; ended: number },
  page: PageRequest,
): Promise<Omit<Page<AgentCommandRow>, "total">> {
  const list = listOf(
    database,
    database`t.agent_id = ${agentId} and (t.status in ('queued', 'delivered') or t.id in (
      select id from agent_commands where agent_id = ${agentId} and completed_at is not null
      order by completed_at desc limit ${ended}))`,
  );
  return readRows<AgentCommandRow>(database, list, page);
}

function listOf(database: Queries, where: Fragment): List {
  return {
    columns: database`t.*`,
    source: database`agent_commands t`,
    where,
    heavy: database`coalesce(pg_column_size(t.args), 0) + coalesce(pg_column_size(t.result), 0)
      + coalesce(pg_column_size(t.error), 0)`,
  };
}

/** Those of the agents that have commands waiting, or handed over and not answered. */
export async function readAgentsWithCommands(database: Queries, ids: readonly string[]): Promise<string[]> {
  const rows = await database<{ agent_id: string }[]>`
    select distinct agent_id from agent_commands
    where agent_id = any(${ids as string[]}::uuid[]) and status in ('queued', 'delivered')`;
  return rows.map(({ agent_id }) => agent_id);
}

/**
 * Takes an agent's next commands for delivery, in their order: those never handed over and, `again`, those that were but
 * are not answered. `except` are with the agent right now.
 */
export async function takeForDelivery(
  database: Queries,
  {
    agentId,
    again,
    except,
    limit,
    at,
  }: {
    agentId: string;
    again: boolean;
    except: readonly string[];
    limit: number;
    at: Date;
  },
): Promise<AgentCommandRow[]> {
  const rows = await database<AgentCommandRow[]>`
    update agent_commands c set status = 'delivered', attempts = c.attempts + 1, delivered_at = coalesce(c.delivered_at, ${at})
    from (
      select id from agent_commands
      where agent_id = ${agentId} and (status = 'queued' or (${again} and status = 'delivered'))
        and id <> all (${except as string[]}::uuid[]) and (expires_at is null or expires_at > ${at})
      order by seq limit ${limit}
    ) next
    where c.id = next.id and c.status in ('queued', 'delivered')
    returning c.*`;
  return rows.sort((one, other) => one.seq - other.seq);
}

/** Puts a command that was handed over behind all others of its agent; undefined when it has come to its end. */
export async function putBackAgentCommand(
  database: Queries,
  id: string,
): Promise<AgentCommandRow | undefined> {
  const [row] = await database<AgentCommandRow[]>`
    update agent_commands set status = 'queued', seq = default
    where id = ${id} and status = 'delivered' returning *`;
  return row;
}

/** Ends a command that waits or is with its agent; undefined when it had come to its end already. */
export async function endAgentCommand(
  database: Queries,
  id: string,
  end: { status: CommandStatus; result?: Json; error?: CommandError },
  at: Date,
): Promise<AgentCommandRow | undefined> {
  const [row] = await database<AgentCommandRow[]>`
    update agent_commands set status = ${end.status}, completed_at = ${at},
      result = ${end.result === undefined ? null : database.json(end.result)},
      error = ${end.error === undefined ? null : database.json(end.error)}
    where id = ${id} and status in ('queued', 'delivered') returning *`;
  return row;
}

/** Ends the commands whose time is over, so many at a time. */
export async function expireAgentCommands(
  database: Queries,
  at: Date,
  limit: number,
): Promise<AgentCommandRow[]> {
  return database<AgentCommandRow[]>`
    update agent_commands c set status = 'expired', completed_at = ${at}
    from (
      select id from agent_commands where status in ('queued', 'delivered') and expires_at <= ${at}
      order by expires_at limit ${limit}
    ) due
    where c.id = due.id and c.status in ('queued', 'delivered')
    returning c.*`;
}

/** Forgets commands that ended before a time. */
export async function dropAgentCommands(database: Queries, endedBefore: Date): Promise<void> {
  await database`delete from agent_commands where completed_at < ${endedBefore}`;
}
