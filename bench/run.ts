import { beatEvents } from "./beat-events.ts";
import { connected } from "./connected.ts";
import { fanout } from "./fanout.ts";
import { links } from "./links.ts";
import { manyChannels } from "./many-channels.ts";
import { million } from "./million.ts";
import { oneAFrame } from "./one-a-frame.ts";
import { scale } from "./scale.ts";
import { snapshot } from "./snapshot.ts";
import { stalled } from "./stalled.ts";
import { storm } from "./storm.ts";
import { type Result, report } from "./support/results.ts";

/*
 * `npm run bench` runs all benchmarks and rewrites their chapters of RESULTS.md; `npm run bench -- NAME …` runs some.
 * Exits with 1 when one cannot run or does not hold what it must.
 */
const BENCHMARKS: Record<string, () => Promise<Result>> = {
  "one-a-frame": oneAFrame,
  "many-channels": manyChannels,
  connected,
  million,
  scale: () => scale("scale", [100, 1_000, 10_000]),
  storm,
  "beat-events": beatEvents,
  fanout,
  stalled,
  snapshot,
  links,
};

/** These run only when they are named: attaching so many agents takes minutes. */
const LONG: typeof BENCHMARKS = {
  "scale-large": () => scale("scale-large", [100, 1_000, 10_000, 100_000]),
};

const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !Object.hasOwn({ ...BENCHMARKS, ...LONG }, name));
if (unknown.length > 0) {
  console.error(
    `there is no benchmark ${unknown.join(", ")}; there are ${Object.keys({ ...BENCHMARKS, ...LONG }).join(", ")}`,
  );
  process.exit(2);
}
for (const [name, run] of Object.entries(chosen.length > 0 ? { ...BENCHMARKS, ...LONG } : BENCHMARKS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  await report(name, run);
}
