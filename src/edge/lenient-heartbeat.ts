const STATUSES: ReadonlySet<unknown> = new Set(["online", "offline"]);
const ACTIVITIES: ReadonlySet<unknown> = new Set(["idle", "busy", "blocked"]);

/**
 * What a heartbeat's body over HTTP says, for the strict schema of the method. Who writes it is often a language model, so
 * only what can be read in it is taken: other fields are left out, a status that is a word for an activity is the
 * activity, any other word says nothing, and so does null. What is no object is handed on for the schema to refuse.
 *
 * @param isNamed whether `name` and `board_id` say which agent it is, and not its token or the path
 */
export function readHeartbeat(body: unknown, isNamed: boolean): unknown {
  if (body === null) return {};
  if (typeof body !== "object" || Array.isArray(body)) return body;
  const { status, activity, stats, name, board_id }: Record<string, unknown> = { ...body };
  const doing = [activity, status].find((word) => ACTIVITIES.has(word));
  return {
    ...(STATUSES.has(status) && { status }),
    ...(doing !== undefined && { activity: doing }),
    ...(isSaid(stats) && { stats }),
    ...(isNamed && isSaid(name) && { name }),
    ...(isNamed && isSaid(board_id) && { board_id }),
  };
}

const isSaid = (value: unknown) => value !== undefined && value !== null;
