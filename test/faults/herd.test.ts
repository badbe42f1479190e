import { test } from "node:test";
import { loseAndReturn } from "../support/herd.ts";

test("twenty thousand agents of one address that are lost all at once are back within half a minute", (t) =>
  loseAndReturn(t, 20_000));
