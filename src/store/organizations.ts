import type { Organization } from "../protocol/organizations.ts";
import type { Queries } from "./database.ts";

export interface OrganizationRow {
  id: string;
  name: string;
  created_at: Date;
  updated_at: Date;
}

export function toOrganization(row: OrganizationRow): Organization {
  return { ...row, created_at: row.created_at.toISOString(), updated_at: row.updated_at.toISOString() };
}

export async function readOrganization(database: Queries, id: string): Promise<OrganizationRow | undefined> {
  const [row] = await database<OrganizationRow[]>`select * from organizations where id = ${id}`;
  return row;
}

export async function anyOrganization(database: Queries): Promise<boolean> {
  const [row] = await database`select 1 from organizations limit 1`;
  return row !== undefined;
}

/** A new organization with its first user, who is its owner. */
export async function insertOrganization(
  database: Queries,
  {
    organization,
    owner,
    at,
  }: {
    organization: { id: string; name: string };
    owner: { id: string; name: string };
    at: Date;
  },
): Promise<void> {
  await database`
    insert into organizations (id, name, created_at, updated_at)
    values (${organization.id}, ${organization.name}, ${at}, ${at})`;
  await database`insert into users (id, name, created_at) values (${owner.id}, ${owner.name}, ${at})`;
  await database`
    insert into members (organization_id, user_id, role, created_at)
    values (${organization.id}, ${owner.id}, 'owner', ${at})`;
}
