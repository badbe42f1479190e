import type { Queries } from "./database.ts";

/** How many agents a gateway has; counting ends at `most`. */
export async function countAgentsOfGateway(
  database: Queries,
  gatewayId: string,
  most: number,
): Promise<number> {
  const [row] = await database<{ count: number }[]>`
    select count(*)::int as count from (select 1 from agents where gateway_id = ${gatewayId} limit ${most}) counted`;
  return row?.count ?? 0;
}

/** How many agents a board has that do not lead it, and how many its lead may have made. Undefined: it is not there. */
export async function countWorkersOfBoard(
  database: Queries,
  boardId: string,
): Promise<{ workers: number; max_agents: number } | undefined> {
  const [row] = await database<{ workers: number; max_agents: number }[]>`
    select max_agents,
      (select count(*)::int from agents where board_id = boards.id and not is_board_lead) as workers
    from boards where id = ${boardId}`;
  return row;
}
