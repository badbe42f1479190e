import { defineCommand } from "citty";
import { connect } from "../client/index.ts";
import { type Config, ConfigError, readConfig } from "../config.ts";
import { credentialsFile, readCredentials } from "../credentials.ts";
import { parseDatabaseUrl } from "../database-url.ts";
import { uwsFlavor } from "../edge/uws.ts";
import { type FirstStart, firstStart } from "../first-start.ts";
import { createLog, flushLog, type Log } from "../log.ts";
import { version } from "../package-root.ts";
import { type Server, startServer } from "../server.ts";
import { inWords } from "./database-words.ts";
import { printNote } from "./output.ts";
import { PROGRAM } from "./program.ts";
import { stopAsked } from "./stop-asked.ts";

export default defineCommand({
  meta: {
    name: "serve",
    description: "Run the server, with a Postgres of its own unless DATABASE_URL names one",
  },
  args: {
    empty: { type: "boolean", description: "First start: make no gateway, board and agents to look at" },
  },
  async run({ args }) {
    try {
      await serve(args.empty ?? false);
    } catch (error) {
      exitAfter(FLUSH_MS);
      if (!(error instanceof ConfigError)) throw error;
      printNote(`error: ${error.message.replaceAll("\n", "\nerror: ")}`);
      process.exitCode = 2;
    }
  },
});

/** How long all of a stop may take; Postgres is then asked to end by the exit itself. Milliseconds, as the next one. */
const LONGEST_STOP_MS = 60_000;
/** How long the last lines of the log are waited for. */
const FLUSH_MS = 1_000;

/** Exits, should the process still be there after so many milliseconds. */
function exitAfter(ms: number): void {
  setTimeout(() => process.exit(process.exitCode ?? 1), ms).unref();
}

async function serve(empty: boolean): Promise<void> {
  const config = readConfig(process.env);
  const log = createLog(config.logLevel);
  const asked = stopAsked((error) =>
    log.fatal({ err: error }, "an error that nobody caught: the server stops"),
  );
  void asked.then(() => exitAfter(LONGEST_STOP_MS));
  const server = await startOn(config, log);
  try {
    log.info(
      {
        sockets: `${uwsFlavor.package} ${uwsFlavor.version}`,
        native: uwsFlavor.native,
        node: process.version,
        pid: process.pid,
      },
      `Muster ${version} is ready on ${server.url}`,
    );
    if (!uwsFlavor.native)
      log.warn("no native uWebSockets.js fits this system (see the README): sockets are served slower");
    const first = await firstStart(server.services, server.url, empty);
    if (first) await welcome(server, first, config.dataDir, log, asked);
    const by = await asked;
    log.info({ by }, "stopping");
  } finally {
    await server.stop();
  }
  log.info("stopped");
  await flushLog(FLUSH_MS);
  // Not left to the loop to run empty: a part that was left behind may hold it.
  process.exit();
}

/** Starts the server. Throws ConfigError when what stops it is a setting, as for others that cannot be used. */
async function startOn(config: Config, log: Log): Promise<Server> {
  const { databaseUrl } = config;
  if (databaseUrl === undefined) return startServer(config, log);
  const { unused } = parseDatabaseUrl(databaseUrl);
  if (unused.length > 0) log.warn({ unused }, "DATABASE_URL has parameters that nothing is done with");
  return startServer(config, log).catch((error: unknown) => {
    throw inWords(error, databaseUrl);
  });
}

/** Tells what the first start has made, each agent as it comes online, and where to look next. */
async function welcome(
  server: Server,
  { organization, agents }: FirstStart,
  dataDir: string,
  log: Log,
  asked: Promise<unknown>,
): Promise<void> {
  const file = credentialsFile(dataDir);
  log.info(`first start: made the organization "${organization}"; its owner's token is in ${file}`);
  if (agents.length > 0) {
    log.info(`made a local gateway, a board and the agents ${agents.join(", ")}; they are being provisioned`);
    const kept = await readCredentials(dataDir);
    if (kept) await untilOnline(server.url, kept.token, new Set(agents), log, asked);
  }
  log.info(
    agents.length > 0
      ? `look next, in another terminal here: \`${PROGRAM} watch\` shows the agents live, \`${PROGRAM} call agent.list\` lists them`
      : `look next, in another terminal here: \`${PROGRAM} call gateway.create '{"name":"Workers","kind":"direct"}'\` makes a gateway; a board and agents come after it (see the README)`,
  );
}

async function untilOnline(
  url: string,
  token: string,
  awaited: Set<string>,
  log: Log,
  asked: Promise<unknown>,
): Promise<void> {
  const client = await connect({ url, token });
  void asked.then(() => client.close());
  try {
    for await (const change of client.watch("agents")) {
      if (change.kind === "seen" || change.kind === "end") continue;
      for (const agent of change.kind === "change" ? change.upserts : change.items) {
        const { name, status } = agent as { name: string; status: string };
        if (status === "online" && awaited.delete(name)) log.info(`${name} is online`);
      }
      if (awaited.size === 0) return;
    }
  } finally {
    await client.close();
  }
}
