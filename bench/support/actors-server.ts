import { createActor } from "xstate";
import { agentMachine, newborn } from "../../machines/agent.ts";
import { collectGarbage } from "./collect-garbage.ts";

/*
 * A process that holds an interpreter of the agents' machine for each agent, as XState's own guide has it. Started with how
 * many; tells its parent what one takes, in bytes of resident memory without garbage.
 */
const COUNT = Number(process.argv[2]);
const birth = { managed: false, listeningSince: 0, offlineAfterMs: 600_000, checkinDeadlineMs: 30_000 };

await collectGarbage();
const before = process.memoryUsage.rss();
const actors = Array.from({ length: COUNT }, (_, number) =>
  createActor(agentMachine, { input: newborn({ ...birth, name: `Agent ${number}` }).context }).start(),
);
await collectGarbage();
process.send?.({ bytes: (process.memoryUsage.rss() - before) / actors.length });
process.on("disconnect", () => process.exit(0));
