import type { Gateway, GatewayKind } from "../protocol/gateways.ts";
import type { Queries } from "./database.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";

export interface GatewayRow {
  id: string;
  organization_id: string;
  name: string;
  kind: GatewayKind;
  url: string | null;
  token_sealed: Uint8Array | null;
  main_session_key: string | null;
  workspace_root: string | null;
  allow_insecure_tls: boolean;
  created_at: Date;
  updated_at: Date;
}

/** Columns that requests set. */
export type GatewayFields = Omit<GatewayRow, "id" | "organization_id" | "kind" | "created_at" | "updated_at">;

export function toGateway({ token_sealed, ...row }: GatewayRow): Gateway {
  return {
    ...row,
    has_token: token_sealed !== null,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

export async function insertGateway(database: Queries, gateway: GatewayRow): Promise<GatewayRow> {
  const [row] = await database<GatewayRow[]>`insert into gateways ${database(gateway)} returning *`;
  if (!row) throw new Error("an insert gave no row back");
  return row;
}

/**
 * How many gateways of kind local an organization has. Whoever else counts them waits until this transaction has ended,
 * so that of two who make one each, the second counts the first's.
 */
export async function countLocalGateways(transaction: Queries, organizationId: string): Promise<number> {
  await transaction`select 1 from organizations where id = ${organizationId} for no key update`;
  const [row] = await transaction<{ count: number }[]>`
    select count(*)::int as count from gateways where organization_id = ${organizationId} and kind = 'local'`;
  return row?.count ?? 0;
}

export async function readGateway(
  database: Queries,
  organizationId: string,
  id: string,
): Promise<GatewayRow | undefined> {
  const [row] = await database<GatewayRow[]>`
    select * from gateways where id = ${id} and organization_id = ${organizationId}`;
  return row;
}

/** The gateways of an organization. */
export async function readGatewayIds(database: Queries, organizationId: string): Promise<string[]> {
  const rows = await database<{ id: string }[]>`
    select id from gateways where organization_id = ${organizationId} order by created_at desc limit 10000`;
  return rows.map(({ id }) => id);
}

export function listGateways(
  database: Queries,
  organizationId: string,
  page: PageRequest,
): Promise<Page<GatewayRow>> {
  return readPage<GatewayRow>(
    database,
    {
      columns: database`t.*`,
      source: database`gateways t`,
      heavy: database`octet_length(t.name) + coalesce(octet_length(t.url), 0) + coalesce(octet_length(t.workspace_root), 0)`,
      where: database`t.organization_id = ${organizationId}`,
    },
    page,
  );
}

/** Reads a gateway and keeps others from changing it until the transaction ends; undefined when there is none. */
export async function lockGateway(
  transaction: Queries,
  organizationId: string,
  id: string,
): Promise<GatewayRow | undefined> {
  const [row] = await transaction<GatewayRow[]>`
    select * from gateways where id = ${id} and organization_id = ${organizationId} for update`;
  return row;
}

/** Undefined when there is no such gateway. */
export async function updateGateway(
  database: Queries,
  organizationId: string,
  id: string,
  fields: Partial<GatewayFields> & { updated_at: Date },
): Promise<GatewayRow | undefined> {
  const [row] = await database<GatewayRow[]>`
    update gateways set ${database(fields)}
    where id = ${id} and organization_id = ${organizationId} returning *`;
  return row;
}

export async function gatewayHasAgents(database: Queries, id: string): Promise<boolean> {
  const [row] = await database`select 1 from agents where gateway_id = ${id} limit 1`;
  return row !== undefined;
}

/** Whether there was one to delete. Boards and agents on it make Postgres refuse. */
export async function deleteGateway(database: Queries, organizationId: string, id: string): Promise<boolean> {
  const deleted =
    await database`delete from gateways where id = ${id} and organization_id = ${organizationId}`;
  return deleted.count > 0;
}

/** The agents of a gateway by status, and how many of them have work that was given up. */
export async function countGatewayAgents(
  database: Queries,
  id: string,
): Promise<{ agents: Record<string, number>; failed: number }> {
  const rows = await database<{ status: string; count: number; failed: number }[]>`
    select status, count(*)::int as count, (count(*) filter (where provision_failed is not null))::int as failed
    from agents where gateway_id = ${id} group by status`;
  return {
    agents: Object.fromEntries(rows.map(({ status, count }) => [status, count])),
    failed: rows.reduce((sum, { failed }) => sum + failed, 0),
  };
}
