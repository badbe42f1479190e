import { readConfig } from "../../src/config.ts";
import type { Driver, Work } from "../../src/gateways/driver.ts";
import { createLog } from "../../src/log.ts";
import { startServer } from "../../src/server.ts";

/*
 * A server that kills itself, as kill -9 does, before or after one step of one action at its local gateway. Its parent
 * process tells it when, like `update:files:before`; it tells its parent its URL when it serves.
 */
let crashAt = "";
process.on("message", (message) => {
  crashAt = String(message);
  process.send?.("armed");
});
// Its parent is gone, interrupted: nobody else would end it.
process.once("disconnect", () => process.exit());

const config = readConfig(process.env);
const server = await startServer(config, createLog(config.logLevel), {
  drivers: ({ local, ...others }) => (local ? { ...others, local: crashing(local) } : others),
});
process.send?.(server.url);

function crashing(driver: Driver): Driver {
  const dieAt = (name: string, work: Work, when: string) => {
    if (crashAt === `${work.action}:${name}:${when}`) process.kill(process.pid, "SIGKILL");
  };
  const guarded = (name: keyof Driver & string, run: (work: Work) => Promise<void>) => async (work: Work) => {
    dieAt(name, work, "before");
    await run(work);
    dieAt(name, work, "after");
  };
  return {
    session: guarded("session", driver.session),
    roster: guarded("roster", driver.roster),
    files: guarded("files", driver.files),
    wake: guarded("wake", driver.wake),
    unroster: guarded("unroster", driver.unroster),
    unsession: guarded("unsession", driver.unsession),
    cleanUp: guarded("cleanUp", driver.cleanUp),
    resume: driver.resume,
    stop: driver.stop,
  };
}
