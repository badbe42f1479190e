import type { UserPrincipal } from "../auth/principals.ts";
import type { Queries } from "./database.ts";

/** Who a member is: a user in an organization. */
export type MemberKey = Pick<UserPrincipal, "organizationId" | "userId">;

/** The roles of these members now, in order; undefined for one who is none any more. */
export async function readRoles(
  database: Queries,
  members: readonly MemberKey[],
): Promise<(UserPrincipal["role"] | undefined)[]> {
  const rows = await database<{ position: number; role: UserPrincipal["role"] }[]>`
    select asked.position::int as position, m.role
    from unnest(
      ${members.map(({ organizationId }) => organizationId)}::uuid[], ${members.map(({ userId }) => userId)}::uuid[]
    ) with ordinality as asked (organization_id, user_id, position)
    join members m on m.organization_id = asked.organization_id and m.user_id = asked.user_id`;
  const roles = new Map(rows.map(({ position, role }) => [position - 1, role]));
  return members.map((_, position) => roles.get(position));
}
