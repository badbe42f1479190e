import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../support/await.ts";
import { folder } from "../support/muster-process.ts";
import { programOf } from "../support/program.ts";
import { inTerminal } from "../support/terminal.ts";

const linux = { skip: process.platform !== "linux" };

test("a terminal that is closed stops the server whole, with exit code 0", linux, async (t) => {
  const data = folder(t);
  const server = inTerminal(t, [...programOf("src/cli/main"), "serve", "--empty"], {
    PORT: "0",
    MUSTER_DATA_DIR: data,
  });
  await until(() => server.shown().includes("look next"), { what: "the start", timeoutMs: 60_000 });
  assert.match(server.shown(), /INFO/);
  const [pid] = (await readFile(join(data, "postgres", "postmaster.pid"), "utf8")).split("\n");
  server.holder.kill("SIGKILL");
  assert.equal(await server.code(), 0);
  await assert.rejects(readFile(`/proc/${pid}/cmdline`), { code: "ENOENT" });
});

test("a terminal that is held does not hold who logs to it", linux, async (t) => {
  const program = inTerminal(t, programOf("test/support/noisy-log"), {});
  program.holder.stdout?.pause();
  assert.equal(await program.code(), 7);
});
