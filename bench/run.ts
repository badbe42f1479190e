import { beatEvents } from "./beat-events.ts";
import { fanout } from "./fanout.ts";
import { snapshot } from "./snapshot.ts";
import { stalled } from "./stalled.ts";
import { storm } from "./storm.ts";
import { type Result, report } from "./support/results.ts";

/*
 * `npm run bench` runs all benchmarks and rewrites their chapters of RESULTS.md; `npm run bench -- NAME …` runs some.
 * Exits with 1 when one cannot run or does not hold what it must.
 */
const BENCHMARKS: Record<string, () => Promise<Result>> = {
  fanout,
  stalled,
  snapshot,
  "beat-events": beatEvents,
  storm,
};

const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !Object.hasOwn(BENCHMARKS, name));
if (unknown.length > 0) {
  console.error(
    `there is no benchmark ${unknown.join(", ")}; there are ${Object.keys(BENCHMARKS).join(", ")}`,
  );
  process.exit(2);
}
for (const [name, run] of Object.entries(BENCHMARKS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  await report(name, run);
}
