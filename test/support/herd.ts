import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { descriptorLimit } from "../../src/edge/descriptors.ts";
import { until } from "./await.ts";
import { insertAgents } from "./fleet.ts";
import { folder, Muster } from "./muster-process.ts";
import { frameHead, upgradeRequest } from "./raw-peer.ts";
import { startTestServer } from "./server.ts";

/** Descriptors for everything else. */
const SPARE = 1_000;
const WITHIN_MS = 30_000;
/** A lost agent waits for a random part of this before it comes back, in milliseconds. */
const BACKOFF_MS = 1_000;

/** An agent that comes back whenever its socket is lost, as simple as it can be: there are very many of them. */
class Agent {
  isAttached = false;
  attempts = 0;
  readonly #url: URL;
  readonly #hello: Buffer;
  #socket: Socket | undefined;
  #isOver = false;

  constructor(url: string, token: string) {
    this.#url = new URL(url);
    const hello = Buffer.from(JSON.stringify({ id: 1, method: "hello", params: { token } }));
    this.#hello = Buffer.concat([frameHead("text", hello.length), hello]);
  }

  connect(): void {
    this.attempts += 1;
    const socket = connect(Number(this.#url.port), this.#url.hostname);
    this.#socket = socket;
    let text = "";
    socket.on("connect", () => socket.write(upgradeRequest(this.#url.href)));
    socket.on("data", (data) => {
      const before = text.length;
      text += data.toString("latin1");
      if (before === 0 && text.startsWith("HTTP/1.1 101")) socket.write(this.#hello);
      this.isAttached ||= text.includes('"ch":0');
      if (this.isAttached) text = "HTTP";
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isAttached = false;
      if (!this.#isOver) setTimeout(() => this.connect(), Math.random() * BACKOFF_MS);
    });
  }

  lose(): void {
    this.#socket?.destroy();
  }

  end(): void {
    this.#isOver = true;
    this.lose();
  }
}

/** A server of its own process, and the tokens of so many agents. */
async function serving(t: TestContext, count: number, environment: Record<string, string>) {
  const prepared = await startTestServer(t);
  const owner = await prepared.wire();
  const { board, gateway } = await prepared.board(owner);
  const place = { organizationId: prepared.organization.id, boardId: board.id, gatewayId: gateway.id };
  await prepared.stop();
  const { tokens } = await insertAgents(prepared.database, place, count);
  const muster = new Muster(t, ["serve", "--empty"], {
    PORT: "0",
    MUSTER_DATA_DIR: folder(t),
    DATABASE_URL: prepared.databaseUrl,
    ...environment,
  });
  await muster.says(/is ready on/);
  const url = /is ready on (http:\/\/[^"]+)/.exec(muster.out)?.[1] ?? "";
  return { url, tokens };
}

/**
 * A fleet connects from one address, is lost all at once, and is back within half a minute, without many attempts.
 *
 * @param most agents; fewer where this process, or the server's, may have fewer sockets
 */
export async function loseAndReturn(t: TestContext, most: number, environment: Record<string, string> = {}) {
  const count = Math.min(most, (descriptorLimit() ?? most + SPARE) - SPARE);
  const { url, tokens } = await serving(t, count, environment);
  const agents = tokens.map((token) => new Agent(url, token));
  t.after(() => {
    for (const agent of agents) agent.end();
  });
  const back = async (what: string) => {
    const beganAt = performance.now();
    await until(() => agents.every((agent) => agent.isAttached), { what, timeoutMs: WITHIN_MS });
    return Math.round(performance.now() - beganAt);
  };
  for (const agent of agents) agent.connect();
  const first = await back("all to be connected");
  for (const agent of agents) agent.attempts = 0;
  for (const agent of agents) agent.lose();
  await until(() => !agents.some((agent) => agent.isAttached), { what: "all to be lost" });
  const again = await back("all to be back");
  const attempts = agents.reduce((sum, agent) => sum + agent.attempts, 0);
  t.diagnostic(`${count} agents: ${first} ms at first, ${again} ms again, ${attempts} attempts`);
  assert.ok(attempts < 4 * count, `${attempts} attempts`);
}
