import { MusterError } from "../protocol/errors.ts";
import type { Queries } from "./database.ts";

/** How many tokens may follow from one another, each made with the one before. */
export const MOST_GENERATIONS = 16;

/**
 * The end of the token with which another is about to be made; null: none. It stays until the transaction has ended, so that
 * nothing is made with a token that is just being deleted. Throws `unauthenticated` when it is gone.
 */
export async function holdParent(transaction: Queries, tokenId: string): Promise<{ expiresAt: Date | null }> {
  const [row] = await transaction<{ expires_at: Date | null }[]>`
    select expires_at from user_tokens where id = ${tokenId} for key share`;
  if (!row)
    throw new MusterError("unauthenticated", "The token that this session was opened with was revoked.");
  return { expiresAt: row.expires_at };
}

/** How many tokens there are from the first of a line down to this one; at most one more than may be. */
export async function generationsTo(transaction: Queries, tokenId: string): Promise<number> {
  const [row] = await transaction<{ generations: number }[]>`
    with recursive line as (
      select parent_id, 1 as generation from user_tokens where id = ${tokenId}
      union all
      select t.parent_id, l.generation + 1 from line l join user_tokens t on t.id = l.parent_id
      where l.generation <= ${MOST_GENERATIONS}
    )
    select max(generation)::int as generations from line`;
  return row?.generations ?? 0;
}

/**
 * Deletes a token of the user's with all that were made with it, and with those: users' tokens and enrolment tokens.
 *
 * @param transaction generations are locked from the eldest on, so that none can be made while they are counted
 * @returns the ids of the users' tokens, and how many tokens there were in all; none where there is no such token
 */
export async function deleteTokenFamily(
  transaction: Queries,
  { organizationId, userId, id }: { organizationId: string; userId: string; id: string },
): Promise<{ tokenIds: string[]; deleted: number }> {
  const tokenIds: string[] = [];
  let generation = await transaction<{ id: string }[]>`
    select id from user_tokens
    where id = ${id} and organization_id = ${organizationId} and user_id = ${userId} for update`;
  while (generation.length > 0) {
    const parents = generation.map((token) => token.id);
    tokenIds.push(...parents);
    generation = await transaction<{ id: string }[]>`
      select id from user_tokens where parent_id = any(${parents}::text[]) order by id for update`;
  }
  if (tokenIds.length === 0) return { tokenIds, deleted: 0 };
  const enrolments = await transaction`delete from enrolments where parent_id = any(${tokenIds}::text[])`;
  await transaction`delete from user_tokens where id = any(${tokenIds}::text[])`;
  return { tokenIds, deleted: tokenIds.length + enrolments.count };
}
