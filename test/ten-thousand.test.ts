import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { mintToken } from "../src/auth/tokens.ts";
import { until } from "./support/await.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

const REGISTERED = 10_000;
const CONNECTED = 1_000;
/** Of those who connect: how many share one socket. */
const HOSTED = 500;
const MOST_MS = 30_000;

/** Puts agents behind the server's back; those who are to connect have a token. */
async function register(server: TestServer, board: Message, gateway: Message) {
  const ids = Array.from({ length: REGISTERED }, () => randomUUID());
  const names = ids.map((_, position) => `Agent ${String(position).padStart(5, "0")}`);
  const at = new Date(server.clock.now());
  await server.database`
    insert into agents (id, organization_id, board_id, gateway_id, name, name_key, slug, status, openclaw_session_id,
      heartbeat_config, created_at, updated_at)
    select u.id, ${server.organization.id}, ${board.id}, ${gateway.id}, u.name, lower(u.name), 'a-' || u.id, 'provisioning',
      'agent:' || u.id || ':main', '{"every":"10m"}', ${at}, ${at}
    from unnest(${ids}::uuid[], ${names}::text[]) u (id, name)`;
  await server.database`insert into presence (agent_no) select no from agents`;
  const agents = ids.slice(0, CONNECTED).map((agentId) => ({ agentId, ...mintToken("agent") }));
  await server.database`
    insert into agent_tokens (id, agent_id, hash, serial, used_at)
    select u.id, u.agent_id, decode(u.hash, 'hex'), 1, ${at}
    from unnest(${agents.map(({ id }) => id)}::text[], ${agents.map(({ agentId }) => agentId)}::uuid[],
      ${agents.map(({ hash }) => hash.toString("hex"))}::text[]) u (id, agent_id, hash)`;
  return { ids, agents };
}

/** A picture of a topic, kept as a client keeps it: snapshot pages, then changes without a gap. */
class View {
  readonly agents = new Map<string, Message>();
  offset: number;
  #read = 0;
  readonly #wire: Wire;

  constructor(wire: Wire, { items, offset }: Message) {
    this.#wire = wire;
    this.offset = offset;
    for (const item of items) this.agents.set(item.id, item);
  }

  catchUp(): this {
    for (; this.#read < this.#wire.received.length; this.#read++) {
      const { method, params } = this.#wire.received[this.#read];
      if (method === "snapshot") for (const item of params.items) this.agents.set(item.id, item);
      if (method !== "change") continue;
      this.offset += 1;
      assert.equal(params.offset, this.offset, "a change is missing");
      for (const item of params.upserts) this.agents.set(item.id, item);
      for (const id of params.removes) this.agents.delete(id);
    }
    return this;
  }

  countOf(test: (agent: Message) => boolean): number {
    return [...this.agents.values()].filter(test).length;
  }
}

/** Connects everyone, some over one socket, the others each over its own. How they beat, until it is acknowledged. */
async function connectAll(server: TestServer, tokens: readonly string[]) {
  const host = await server.wire({ token: null, codec: "msgpack" });
  const hosted = tokens.slice(0, HOSTED);
  const channels: number[] = [];
  for (let start = 0; start < hosted.length; start += 50) {
    const attached = await Promise.all(
      hosted.slice(start, start + 50).map((token) => host.call("agent.attach", { token })),
    );
    channels.push(...attached.map(({ ch }) => ch));
  }
  const own: Wire[] = [];
  for (let start = HOSTED; start < tokens.length; start += 100)
    own.push(...(await Promise.all(tokens.slice(start, start + 100).map((token) => server.wire({ token })))));
  const acknowledged = (wire: Wire, n: number) =>
    until(() => wire.received.some((m) => m.method === "ack" && m.params.n >= n), {
      what: `heartbeat ${n} to be acknowledged`,
    });
  return {
    async all(n: number) {
      host.notify("heartbeats", { n, chs: channels });
      for (const wire of own) wire.notify("heartbeat", { n });
      await Promise.all([host, ...own].map((wire) => acknowledged(wire, n)));
    },
    async hosted(n: number) {
      host.notify("heartbeats", { n, chs: channels });
      await acknowledged(host, n);
    },
  };
}

test("B8 ten thousand registered agents, a thousand connected ones: all beat, are acknowledged, listed and watched, in under half a minute", async (t) => {
  const server = await startTestServer(t);
  const began = Date.now();
  const { board, gateway } = await server.board(await server.wire());
  await server.stop();
  const { ids, agents } = await register(server, board, gateway);
  await server.start();
  assert.equal(server.services.registry.size, REGISTERED);

  const watcher = await server.wire({ codec: "msgpack" });
  const view = new View(watcher, await watcher.call("subscribe", { topic: "agents" }));
  await watcher.next("the last page", (m) => m.method === "snapshot" && !m.params.more);
  assert.deepEqual([...view.catchUp().agents.keys()].sort(), [...ids].sort());

  const beat = await connectAll(
    server,
    agents.map(({ token }) => token),
  );
  assert.equal(server.services.attachments.count, CONNECTED);
  for (let n = 1; n <= 5; n++) {
    server.clock.advance(1_000);
    await beat.all(n);
    const [row] = await server.database`
      select count(*) from last_seen where last_seen_at = ${new Date(server.clock.now())}`;
    assert.equal(row?.count, CONNECTED, `heartbeat ${n} is acknowledged, so it is in Postgres`);
  }
  await until(() => view.catchUp().countOf(({ status }) => status === "online") === CONNECTED, {
    what: "everyone who beats to be seen online",
  });
  assert.equal(
    view.countOf(({ connected }) => connected),
    CONNECTED,
  );
  assert.equal(view.agents.size, REGISTERED);
  server.clock.advance(1_000);
  const seen = await watcher.next(
    "last-seen times of all",
    (m) => m.method === "seen" && m.params.agents.length === CONNECTED,
  );
  assert.deepEqual(
    seen.params.agents.map(([id]: [string]) => id).sort(),
    agents.map(({ agentId }) => agentId).sort(),
  );

  const owner = await server.wire();
  const online = await owner.call("agent.list", { status: "online", limit: 500 });
  assert.deepEqual([online.total, online.items.length], [CONNECTED, 500]);
  const listed = new Set<string>();
  for (let cursor: string | undefined; ; ) {
    const page = await owner.call("agent.list", { limit: 500, ...(cursor && { cursor }) });
    for (const item of page.items) listed.add(item.id);
    if (page.next_cursor === null) break;
    cursor = page.next_cursor;
  }
  assert.equal(listed.size, REGISTERED);

  // Those on the one socket go on beating, the others fall silent.
  server.clock.advance(15 * 60_000);
  await beat.hosted(6);
  server.clock.advance(6 * 60_000);
  await until(() => view.catchUp().countOf(({ status }) => status === "offline") === CONNECTED - HOSTED, {
    what: "those who fell silent to be seen offline",
  });
  const took = Date.now() - began;
  t.diagnostic(`${took} ms`);
  assert.ok(took < MOST_MS, `it took ${took} ms`);
});
