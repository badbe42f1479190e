import { z } from "zod";
import type { Queries } from "./database.ts";

/** A session at a gateway, as the gateway told it: a session that was begun anew has other values. */
export const sessionMark = z.object({ sessionId: z.string().nullable(), updatedAt: z.number().nullable() });
export type SessionMark = z.infer<typeof sessionMark>;

/** Where the session stood before the work of this generation began it anew; undefined: it has not come so far. */
export async function readSessionReset(
  database: Queries,
  agentId: string,
  generation: number,
): Promise<SessionMark | undefined> {
  const [row] = await database<{ before: unknown }[]>`
    select before from session_resets where agent_id = ${agentId} and generation = ${generation}`;
  return row && sessionMark.parse(row.before);
}

/** Notes where the session stands, right before it is begun anew. An older generation's note gives way. */
export async function noteSessionReset(
  database: Queries,
  agentId: string,
  generation: number,
  before: SessionMark,
): Promise<void> {
  await database`
    insert into session_resets (agent_id, generation, before)
    values (${agentId}, ${generation}, ${database.json(before)})
    on conflict (agent_id) do update set generation = excluded.generation, before = excluded.before
    where session_resets.generation < excluded.generation`;
}
