import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import { dropOldActivity, makeActivityPartitions } from "./store/activity-partitions.ts";
import { dropAgentCommands } from "./store/agent-commands.ts";
import type { Database } from "./store/database.ts";
import { dropAnswers, KEPT_MS } from "./store/idempotency.ts";

const DROP_EVERY_MS = 60 * 60 * 1_000;
/** Often, as it costs one look: a clock that jumps must not fill the default partition. */
const MAKE_EVERY_MS = 60 * 1_000;
/** How long commands that have come to their end can be looked at, in milliseconds. */
const COMMANDS_KEPT_MS = 7 * 24 * 60 * 60 * 1_000;

interface HousekeepingNeeds {
  database: Database;
  clock: Clock;
  log: Log;
  /** How long the activity log is kept, in milliseconds. */
  activityRetentionMs: number;
}

/**
 * Makes room for what comes, at once and then every minute, and drops what is old every hour. What fails is logged, and
 * tried again the next time.
 *
 * @returns ends it, once what is under way is done
 */
export async function startHousekeeping({
  database,
  clock,
  log,
  activityRetentionMs,
}: HousekeepingNeeds): Promise<() => Promise<void>> {
  const make = oneAtATime(async () => {
    try {
      const made = await makeActivityPartitions(database, new Date(clock.now()));
      if (made.length > 0) log.debug({ made }, "partitions were made for the activity log");
    } catch (error) {
      log.warn({ err: error }, "the activity log has no partition for some day; it is tried again");
    }
  });
  const drop = oneAtATime(async () => {
    try {
      await dropAnswers(database, new Date(clock.now() - KEPT_MS));
      await dropAgentCommands(database, new Date(clock.now() - COMMANDS_KEPT_MS));
      const dropped = await dropOldActivity(database, new Date(clock.now()), activityRetentionMs);
      if (dropped.length > 0) log.info({ dropped }, "old activity was dropped");
    } catch (error) {
      log.warn({ err: error }, "what is old could not be dropped; it is tried again");
    }
  });
  await make.run();
  const cancels = [clock.every(MAKE_EVERY_MS, make.run), clock.every(DROP_EVERY_MS, drop.run)];
  return async () => {
    for (const cancel of cancels) cancel();
    await Promise.all([make.over(), drop.over()]);
  };
}

/** What is asked to run while it runs does not run twice. */
function oneAtATime(act: () => Promise<void>) {
  let running: Promise<void> | undefined;
  return {
    run(): Promise<void> {
      running ??= act().finally(() => {
        running = undefined;
      });
      return running;
    },
    /** Resolves when it does not run. */
    async over(): Promise<void> {
      await running;
    },
  };
}
