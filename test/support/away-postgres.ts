import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Replacements } from "../../src/server.ts";
import { type EmbeddedPostgres, startEmbedded } from "../../src/store/embedded.ts";
import { TestServer } from "./server.ts";

/** A Postgres of a test's own, which goes and comes back under the same URL. */
export interface AwayPostgres {
  url: string;
  stop(): Promise<void>;
  start(): Promise<void>;
}

async function ownPostgres(t: TestContext): Promise<AwayPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), "muster-away-"));
  const flags = ["-c", "fsync=off", "-c", "full_page_writes=off"];
  let current: EmbeddedPostgres = await startEmbedded({ dataDir, onLog: () => {}, flags });
  const { url } = current;
  t.after(async () => {
    await current.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  return {
    url,
    stop: () => current.stop(),
    async start() {
      current = await startEmbedded({ dataDir, onLog: () => {}, flags, port: Number(new URL(url).port) });
    },
  };
}

/** A test server on a Postgres of its own, which the test can stop and start. Both are gone with the test. */
export async function serverOnOwnPostgres(
  t: TestContext,
  replacements: Replacements = {},
): Promise<{ server: TestServer; postgres: AwayPostgres }> {
  const postgres = await ownPostgres(t);
  const dataDir = await mkdtemp(join(tmpdir(), "muster-server-"));
  const server = new TestServer(postgres.url, dataDir, {}, replacements);
  // Hooks run in the order in which they were added: Postgres would be gone before the server has stopped.
  const close = server.close.bind(server);
  t.after(async () => {
    await close();
    await rm(dataDir, { recursive: true, force: true });
  });
  await server.start();
  server.organization = await server.addOrganization("Test");
  return { server, postgres };
}
