import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { mintToken } from "../../src/auth/tokens.ts";
import { readConfig } from "../../src/config.ts";
import { createLog } from "../../src/log.ts";
import { type Replacements, type Server, startServer } from "../../src/server.ts";
import { closeDatabase, type Database, openDatabase } from "../../src/store/database.ts";
import { insertOrganization } from "../../src/store/organizations.ts";
import { insertUserToken } from "../../src/store/tokens.ts";
import { freePort } from "./free-port.ts";
import { createTestDatabase } from "./postgres.ts";
import { START, TurnedClock } from "./turned-clock.ts";
import { Wire, type WireOptions } from "./wire.ts";

/** An organization for tests, with its owner's token. */
export interface TestOrganization {
  id: string;
  ownerId: string;
  token: string;
}

/** A real server on a database of its own, in this process, under a clock that the test turns. */
export class TestServer {
  readonly clock = new TurnedClock(START);
  readonly databaseUrl: string;
  /** For looking behind the server's back. */
  readonly database: Database;
  readonly dataDir: string;
  readonly #environment: Record<string, string>;
  readonly #replacements: Replacements;
  readonly #wires = new Set<Wire>();
  #server: Server | undefined;
  #port: number | undefined;
  /** The organization that `wire()` signs in to. */
  organization: TestOrganization = { id: "", ownerId: "", token: "" };

  constructor(
    databaseUrl: string,
    dataDir: string,
    environment: Record<string, string>,
    replacements: Replacements,
  ) {
    this.databaseUrl = databaseUrl;
    this.database = openDatabase(databaseUrl, { maxConnections: 2 });
    this.dataDir = dataDir;
    this.#environment = environment;
    this.#replacements = replacements;
  }

  get url(): string {
    return this.#running().url;
  }

  get services(): Server["services"] {
    return this.#running().services;
  }

  async start(): Promise<void> {
    // A restart is found where the server was.
    this.#port ??= await freePort();
    const config = readConfig({
      PORT: String(this.#port),
      LOG_LEVEL: "silent",
      DATABASE_URL: this.databaseUrl,
      MUSTER_DATA_DIR: this.dataDir,
      MUSTER_COMMIT_INTERVAL: "1ms",
      MUSTER_LOCAL_GATEWAY: "on",
      ...this.#environment,
    });
    this.#server = await startServer(config, createLog(config.logLevel), {
      clock: this.clock,
      ...this.#replacements,
    });
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    this.#server = undefined;
  }

  /** Stops and starts again on the same database: what is not in Postgres is gone. `changed`: variables from now on. */
  async restart(changed: Record<string, string> = {}): Promise<void> {
    await this.stop();
    Object.assign(this.#environment, changed);
    await this.start();
  }

  /** An organization with one user, its owner, whose token it hands out. */
  async addOrganization(name: string): Promise<TestOrganization> {
    const organization = { id: randomUUID(), name };
    const owner = { id: randomUUID(), name: `Owner of ${name}` };
    const at = new Date(this.clock.now());
    const { id, token, hash } = mintToken("user");
    await insertOrganization(this.database, { organization, owner, at });
    await insertUserToken(this.database, {
      id,
      organization_id: organization.id,
      user_id: owner.id,
      name: "test",
      hash,
      created_at: at,
      expires_at: null,
    });
    return { id: organization.id, ownerId: owner.id, token };
  }

  /** A connection that has said hello: as the owner, unless another token (or null for none) is given. */
  async wire(options: Omit<WireOptions, "url"> = {}): Promise<Wire> {
    const wire = await this.connect(options);
    const token = options.token === undefined ? this.organization.token : options.token;
    await wire.hello(token ?? undefined);
    return wire;
  }

  /** A connection that has said nothing yet. It is closed with the test. */
  async connect(options: Omit<WireOptions, "url"> = {}): Promise<Wire> {
    const wire = await Wire.open({ url: this.url, ...options });
    this.#wires.add(wire);
    return wire;
  }

  /** A gateway of the kind and a board on it, made over a wire. */
  async board(wire: Wire, kind: "direct" | "local" = "direct", name = `Board ${randomUUID()}`) {
    const { gateway } = await wire.call("gateway.create", { name: `Gateway of ${name}`, kind });
    const { board } = await wire.call("board.create", { name, gateway_id: gateway.id });
    return { gateway, board };
  }

  async close(): Promise<void> {
    for (const wire of this.#wires) wire.end();
    await this.stop();
    await closeDatabase(this.database);
  }

  #running(): Server {
    if (!this.#server) throw new Error("the test server is not running");
    return this.#server;
  }
}

/** Starts a test server; it is gone with the test. */
export async function startTestServer(
  t: TestContext,
  { environment = {}, ...replacements }: Replacements & { environment?: Record<string, string> } = {},
): Promise<TestServer> {
  const database = await createTestDatabase();
  const dataDir = await mkdtemp(join(tmpdir(), "muster-server-"));
  const server = new TestServer(database.url, dataDir, environment, replacements);
  t.after(async () => {
    await server.close();
    await database.drop();
    await rm(dataDir, { recursive: true, force: true });
  });
  await server.start();
  server.organization = await server.addOrganization("Test");
  return server;
}
