import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import type * as Sdk from "../src/client/index.ts";
import { packageRoot } from "../src/package-root.ts";
import { startTestServer } from "./support/server.ts";

/** Gzipped: a page loads it. */
const MOST_BYTES = 28 * 1_024;

test("the SDK is one file without anything of the server, for browsers as for Node", async (t) => {
  // Beside this file, where `ws` is found from, and which goes with the run when it is interrupted.
  const file = join(import.meta.dirname, `client-bundle-${process.pid}.mjs`);
  t.after(() => rm(file, { force: true }).then(() => rm(`${file}.map`, { force: true })));
  await promisify(execFile)("npm", ["run", "--silent", "bundle", "--", `--outfile=${file}`], {
    cwd: packageRoot,
  });
  const code = await readFile(file, "utf8");
  const imports = [...code.matchAll(/(?:\bfrom|(?<!\.)\bimport)\s*\(?\s*"([^"./][^"]*)"/g)].map(
    ([, name]) => name,
  );
  assert.deepEqual(imports, ["ws"]);
  for (const word of ["xstate", "postgres", "uWebSockets", "pino", "zod", '"node:'])
    assert.ok(!code.includes(word), word);
  const size = gzipSync(code).length;
  assert.ok(size <= MOST_BYTES, `${size} bytes gzipped, ${MOST_BYTES} at most`);

  const { connect }: typeof Sdk = await import(pathToFileURL(file).href);
  const server = await startTestServer(t);
  for (const codec of ["json", "msgpack"] as const) {
    const client = await connect({ url: server.url, token: server.organization.token, codec });
    t.after(() => client.close());
    const { organization } = await client.request("organization.get", {});
    assert.equal(organization.id, server.organization.id);
  }
});
