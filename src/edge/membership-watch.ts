import type { Cancel, Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { Database } from "../store/database.ts";
import { type MemberKey, readRoles } from "../store/members.ts";
import type { Session } from "./session.ts";

/** How often it is looked whether users still are what they were at sign-in, in milliseconds. */
const WATCH_MS = 1_000;

/**
 * Takes from open sessions what their users have lost: whoever is no member any more is dismissed, and another role counts
 * from then on. One query for all users that are connected.
 */
export function watchMemberships({
  sessions,
  database,
  clock,
  log,
}: {
  sessions: Iterable<Session>;
  database: Database;
  clock: Clock;
  log: Log;
}): Cancel {
  let looking = false;
  const look = async () => {
    const users = new Map<string, { key: MemberKey; of: Session[] }>();
    for (const session of sessions) {
      const { user } = session;
      if (!user) continue;
      const name = `${user.organizationId}/${user.userId}`;
      const known = users.get(name) ?? { key: user, of: [] };
      known.of.push(session);
      users.set(name, known);
    }
    if (users.size === 0) return;
    const all = [...users.values()];
    const roles = await readRoles(
      database,
      all.map(({ key }) => key),
    );
    all.forEach(({ of }, position) => {
      for (const session of of) session.roleIs(roles[position]);
    });
  };
  return clock.every(WATCH_MS, () => {
    if (looking) return;
    looking = true;
    look()
      .catch((error) => log.debug({ err: error }, "memberships could not be looked at; they are soon again"))
      .finally(() => {
        looking = false;
      });
  });
}
