import type { ActivityRow } from "./activity.ts";
import type { Queries } from "./database.ts";
import { arrayOf } from "./heartbeat-journal.ts";

/** Heartbeats that are to leave an entry each, column by column. */
export interface BeatEvents {
  /** A UUID of their own; when they are written again (a repeated commit), the same. */
  batch: string;
  /** The agents' small keys; an agent may stand there more than once. */
  nos: Int32Array | readonly number[];
  /** When each beat was, in milliseconds since the epoch. */
  times: Float64Array | readonly number[];
}

/**
 * Adds an `agent.heartbeat` event for each beat, in their order, in one statement: names, boards and organizations are
 * joined from the agents. A beat of an agent that is gone leaves none; one that is there already stays as it is.
 *
 * The words are the machine's own (`recordBeat`). Each id is a digest of the batch and the beat's place in it: the place itself
 * would tell an organization how many beats of others came between its own.
 *
 * @param isTold whether somebody is to be told of them
 * @returns the new events if so, else none
 */
export async function insertBeatEvents(
  database: Queries,
  { batch, nos, times }: BeatEvents,
  isTold = false,
): Promise<ActivityRow[]> {
  return database<ActivityRow[]>`
    insert into activity (id, organization_id, type, message, board_id, agent_id, created_at)
    select overlay(overlay(left(encode(sha256(convert_to(${batch}::text || u.place, 'UTF8')), 'hex'), 32)
        placing '8' from 13) placing '8' from 17)::uuid,
      a.organization_id, 'agent.heartbeat', 'Heartbeat from ' || a.name || '.', a.board_id, a.id, to_timestamp(u.ms / 1000)
    from unnest(${arrayOf(nos)}::text::int[], ${arrayOf(times)}::text::float8[]) with ordinality u (no, ms, place)
    join agents a on a.no = u.no
    order by u.place
    on conflict (created_at, id) do nothing
    ${isTold ? database`returning *` : database``}`;
}
