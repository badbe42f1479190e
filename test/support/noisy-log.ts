import { createLog } from "../../src/log.ts";

/*
 * Writes a log of a megabyte to its standard output, and exits with code 7 once it has handed it over.
 */
const log = createLog("info");
for (let line = 0; line < 10_000; line++) log.info({ line }, "x".repeat(100));
process.exit(7);
