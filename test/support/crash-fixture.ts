import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { readToken, tokenMatches } from "../../src/auth/tokens.ts";
import type { Database } from "../../src/store/database.ts";
import { until } from "./await.ts";
import { createTestDatabase } from "./postgres.ts";
import { programOf } from "./program.ts";
import { type TestOrganization, TestServer } from "./server.ts";
import { type Message, Wire } from "./wire.ts";

/** A server in a process of its own, which can be killed and started again on the same database and data folder. */
export class Crashing {
  readonly database: Database;
  readonly organization: TestOrganization;
  readonly workspaces: string;
  readonly #databaseUrl: string;
  readonly #dataDir: string;
  readonly #program: readonly string[];
  #process: ChildProcess | undefined;
  #wires: Wire[] = [];
  #url = "";

  constructor(parts: {
    database: Database;
    databaseUrl: string;
    dataDir: string;
    organization: TestOrganization;
    program: readonly string[];
  }) {
    this.database = parts.database;
    this.organization = parts.organization;
    this.#databaseUrl = parts.databaseUrl;
    this.#dataDir = parts.dataDir;
    this.#program = parts.program;
    this.workspaces = join(parts.dataDir, "workspaces");
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [...this.#program], {
      env: {
        PATH: process.env.PATH,
        PORT: "0",
        LOG_LEVEL: "fatal",
        DATABASE_URL: this.#databaseUrl,
        MUSTER_DATA_DIR: this.#dataDir,
        MUSTER_LOCAL_GATEWAY: "on",
        MUSTER_COMMIT_INTERVAL: "1ms",
      },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#process = child;
    const [url] = await Promise.race([once(child, "message"), once(child, "exit")]);
    this.#url = String(url);
  }

  /** @param moment when it is to kill itself, like `update:files:before` */
  async crashAt(moment: string): Promise<void> {
    const child = this.#process;
    assert.ok(child);
    const armed = once(child, "message");
    child.send(moment);
    await armed;
  }

  /** A connection that has said hello, as the owner unless another token (null: none) is given. */
  async wire(token: string | null = this.organization.token): Promise<Wire> {
    const wire = await Wire.open({ url: this.#url, codec: "msgpack" });
    this.#wires.push(wire);
    await wire.hello(token ?? undefined);
    return wire;
  }

  /** Waits until it has killed itself. */
  async crashed(): Promise<void> {
    const child = this.#process;
    assert.ok(child);
    await until(() => child.exitCode !== null || child.signalCode !== null, { what: "the server to die" });
    assert.equal(child.signalCode, "SIGKILL");
    this.#forget();
  }

  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.crashed();
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child && child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    this.#forget();
  }

  #forget(): void {
    for (const wire of this.#wires.splice(0)) wire.end();
    this.#process = undefined;
  }

  /** The agent's row; undefined when it is gone. */
  async row(agentId: string): Promise<Message> {
    const [row] = await this.database`
      select a.*, p.last_seen_at from agents a join last_seen p on p.agent_no = a.no where a.id = ${agentId}`;
    return row;
  }

  async agentNamed(name: string): Promise<Message> {
    const [row] = await this.database`select * from agents where name = ${name}`;
    return row;
  }

  /** How often each type of event is in the activity log of the agent (or, once it is gone, names it). */
  async events(agentName: string): Promise<Record<string, number>> {
    const rows = await this.database<{ type: string; count: number }[]>`
      select type, count(*) as count from activity where strpos(message, ${agentName}) > 0 group by type`;
    return Object.fromEntries(rows.map(({ type, count }) => [type, count]));
  }

  /** The folder of the agent, wherever it is under the root. */
  async workspace(slug: string): Promise<string | undefined> {
    for (const gateway of await readdir(this.workspaces).catch(() => [])) {
      const folder = join(this.workspaces, gateway, `workspace-${slug}`);
      if (await stat(folder).catch(() => undefined)) return folder;
    }
    return undefined;
  }

  /** The token that the workspace holds, and whether it would be let in. */
  async workspaceToken(slug: string): Promise<{ token: string; isGood: boolean } | undefined> {
    const folder = await this.workspace(slug);
    const text = await readFile(join(folder ?? "", ".muster", "token"), "utf8").catch(() => undefined);
    const token = text?.trim();
    if (token === undefined) return undefined;
    const presented = readToken(token);
    assert.ok(presented, "the token file holds a token, whole");
    const [kept] = await this.database<{ hash: Uint8Array }[]>`
      select hash from agent_tokens where id = ${presented.id}`;
    return { token, isGood: kept !== undefined && tokenMatches(presented, kept.hash) };
  }

  /** The processes that run for the agent's workspace. */
  async runners(slug: string): Promise<number[]> {
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    const found: number[] = [];
    for (const pid of pids) {
      const words = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
      if (words.some((word) => word.startsWith(this.workspaces) && word.includes(`/workspace-${slug}/`)))
        found.push(Number(pid));
    }
    return found;
  }
}

/**
 * Makes a database with an organization, and a server on it that has not been started. All is gone with the test.
 *
 * @param program what Node runs as the server
 */
export async function crashing(
  t: TestContext,
  program: readonly string[] = programOf("test/support/crashing-server"),
): Promise<Crashing> {
  const database = await createTestDatabase();
  const dataDir = await mkdtemp(join(tmpdir(), "muster-crash-"));
  const behind = new TestServer(database.url, dataDir, {}, {});
  const organization = await behind.addOrganization("Test");
  const server = new Crashing({
    database: behind.database,
    databaseUrl: database.url,
    dataDir,
    organization,
    program,
  });
  t.after(async () => {
    await server.stop();
    await behind.close();
    await database.drop();
    // Runners see the end of their server by themselves, a moment later.
    await rm(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  });
  return server;
}
