import { test } from "node:test";
import { loseAndReturn } from "../support/herd.ts";

for (const { name, environment } of [
  { name: "native", environment: {} },
  { name: "emulated", environment: { UWS_USE_FALLBACK: "1" } },
] as const)
  test(`a fleet of one address that is lost all at once comes back (${name})`, (t) =>
    loseAndReturn(t, 3_000, environment));
