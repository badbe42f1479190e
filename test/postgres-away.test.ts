import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { until } from "./support/await.ts";
import { serverOnOwnPostgres } from "./support/away-postgres.ts";
import { FakeDriver, managedBoard } from "./support/fake-driver.ts";
import { refused } from "./support/refused.ts";
import type { TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

const FLEET = 100;
/** Commands are refused at once while Postgres is away, in milliseconds. */
const QUICK = 1_000;

/** Why a request is refused just now. */
const refusedNow = async (wire: Wire): Promise<string | undefined> =>
  (await wire.ask({ method: "agent.list" })).error?.data.reason;
const statusOf = async (server: TestServer, path: string) => (await fetch(`${server.url}${path}`)).status;
const isAck = (m: Message) => m.method === "ack";
const acked = (wire: Wire): number => wire.received.filter(isAck).at(-1)?.params.n ?? -1;

/** A fleet of direct agents on one session; the last of them have never been seen. */
async function fleet(server: TestServer, owner: Wire) {
  const { board } = await server.board(owner);
  const host = await server.wire({ token: null, codec: "msgpack" });
  const made: { id: string; ch: number; token: string }[] = [];
  for (let from = 0; from < FLEET; from += 50) {
    const created = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        owner.call("agent.create", { name: `Agent ${from + index}`, board_id: board.id }),
      ),
    );
    const attached = await Promise.all(created.map(({ token }) => host.call("agent.attach", { token })));
    made.push(...created.map(({ agent, token }, index) => ({ id: agent.id, token, ch: attached[index].ch })));
  }
  return { board, host, agents: made };
}

/** Bytes in use, once what nobody holds is gone. */
function heapUsed(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}

/** Keeps beating for these channels, until it is told to stop. */
function beating(host: Wire, chs: number[], first: number) {
  let n = first;
  let going = true;
  const done = (async () => {
    while (going) {
      n += 1;
      host.notify("heartbeats", { n, chs });
      await new Promise(setImmediate);
    }
    return n;
  })();
  return {
    stop: () => {
      going = false;
      return done;
    },
  };
}

test("B3 B8 Postgres stops under load: nothing moves and nobody is told otherwise; when it returns all goes on", async (t) => {
  const gateway = new FakeDriver();
  const { server, postgres } = await serverOnOwnPostgres(t, { drivers: () => ({ openclaw: gateway }) });
  const owner = await server.wire();
  const { board, host, agents } = await fleet(server, owner);
  const chs = agents.map(({ ch }) => ch);
  const seenAlready = chs.slice(0, FLEET / 2);
  host.notify("heartbeats", { n: 1, chs: seenAlready });
  await host.next("the first ack", (m) => isAck(m) && m.params.n === 1);
  const watcher = await server.wire();
  await watcher.call("subscribe", { topic: "agents" });
  const { board: managed } = await managedBoard(owner);
  const files = gateway.hold("files");
  const { agent: ada } = await owner.call("agent.create", { name: "Ada", board_id: managed.id });
  await files.reached();
  const { agent: quiet, token } = await owner.call("agent.create", { name: "Quiet", board_id: board.id });
  await (await server.wire({ token })).call("heartbeat");

  const { token: askersToken } = await owner.call("agent.create", { name: "Asker", board_id: board.id });
  const asker = await server.wire({ token: askersToken });

  // It goes while heartbeats come, of agents that are online and of agents that come online by them.
  const load = beating(host, chs.slice(0, FLEET - 10), 1);
  await until(() => acked(host) > 20, { what: "the load to run" });
  await postgres.stop();
  await until(async () => (await statusOf(server, "/readyz")) === 503, { what: "/readyz to say so" });
  const last = await load.stop();
  const ackedBefore = acked(host);
  assert.ok(ackedBefore < last);

  await t.test("every command is refused as unavailable, quickly", async () => {
    const one = { agent_id: agents[0]?.id };
    const calls: [string, object][] = [
      ["agent.get", one],
      ["agent.list", {}],
      ["agent.create", { name: "Late", board_id: board.id }],
      ["agent.create", { name: "Late", board_id: board.id, idempotency_key: "k" }],
      ["agent.update", { ...one, name: "Other" }],
      ["agent.delete", one],
      ["agent.heartbeat", one],
      ["agent.heartbeat_or_create", { name: "Agent 1" }],
      ["agent.token.rotate", one],
      ["board.create", { name: "Late" }],
      ["task.list", {}],
      ["activity.list", {}],
      ["subscribe", { topic: `agents:board:${board.id}` }],
    ];
    for (const [method, params] of calls) {
      const began = performance.now();
      await refused(owner.call(method, params), "unavailable");
      assert.ok(performance.now() - began < QUICK, `${method} was made to wait`);
    }
    assert.equal(await statusOf(server, "/healthz"), 200);
    const answer = await fetch(`${server.url}/api/v1/agents/heartbeat`, {
      method: "POST",
      headers: { "x-agent-token": agents[0]?.token ?? "" },
    });
    assert.equal(answer.status, 503);
  });

  await t.test("who says hello is refused for now, not for good", async () => {
    const stranger = await server.connect();
    await refused(stranger.hello(server.organization.token), "unavailable");
    assert.equal((await stranger.closing()).code, 1001);
  });

  await t.test("memory does not grow with the length of the outage", async () => {
    let n = last;
    const outage = async (rounds: number) => {
      for (let round = 0; round < rounds; round += 1) {
        n += 1;
        host.notify("heartbeats", { n, chs });
        host.notify("heartbeat", { n, ch: chs[0], stats: { n } });
        host.notify("heartbeat", { n, ch: chs[1], status: "offline" });
        // An answered request shows that what was sent before it has been taken in.
        if (round % 50 === 0) await refused(host.call("agent.attach", { token }), "unavailable");
        // A request counts as being seen, though it is refused.
        await refused(asker.call("agent.heartbeat", { agent_id: agents[0]?.id }), "forbidden");
      }
    };
    await outage(500);
    const before = heapUsed();
    await outage(4_000);
    const grown = heapUsed() - before;
    t.diagnostic(`${grown} bytes more`);
    assert.ok(grown < 1_500_000, `${grown} bytes more`);
    assert.equal(acked(host), ackedBefore, "nothing is acknowledged");
  });

  // The gateway finishes its step, and the deadline of the quiet one passes, while nothing can be written.
  files.release();
  const { actors, registry } = server.services;
  await until(() => actors.isBusy(registry.indexOf(ada.id) ?? -1), { what: "the end of the step to wait" });
  for (let minutes = 0; minutes < 19; minutes += 1) server.clock.advance(60_000);
  host.notify("heartbeats", { n: 1_000_000, chs });
  server.clock.advance(2 * 60_000);
  host.notify("heartbeats", { n: 1_000_001, chs });
  const mark = watcher.received.length;
  await postgres.start();

  await host.next("the last ack", (m) => isAck(m) && m.params.n === 1_000_001);
  await until(async () => (await statusOf(server, "/readyz")) === 200, { what: "/readyz to say so" });
  const rows = await server.database<{ id: string; status: string; last_seen_at: Date }[]>`
    select a.id, a.status, p.last_seen_at from agents a join last_seen p on p.agent_no = a.no
    where a.id = any(${agents.map(({ id }) => id)}::uuid[])`;
  assert.equal(rows.length, FLEET);
  for (const row of rows) {
    assert.equal(row.status, "online");
    assert.equal(row.last_seen_at.getTime(), server.clock.now());
  }
  for (const { id } of agents.slice(-10))
    await watcher.pushed(id, "online at last", (a) => a.status === "online" && a.connected, mark);
  server.clock.advance(1_000);
  await watcher.pushed(quiet.id, "offline", (a) => a.status === "offline", mark);
  await gateway.called("wake", ada.id);
  assert.deepEqual(gateway.stepsOf(ada.id), ["session", "roster", "files", "wake"]);
  const { agent: late } = await owner.call("agent.create", { name: "Late", board_id: board.id });
  assert.equal(late.status, "provisioning");
  assert.equal(host.closed, undefined, "the same session carries the same agents");
});

test("a server that nobody asks anything notices too: /readyz is 503 while Postgres is away", async (t) => {
  const { server, postgres } = await serverOnOwnPostgres(t);
  assert.equal(await statusOf(server, "/readyz"), 200);
  await postgres.stop();
  assert.equal(await statusOf(server, "/readyz"), 503);
  await postgres.start();
  await until(async () => (await statusOf(server, "/readyz")) === 200, { what: "its return" });
});

test("B8 a heartbeat that came when Postgres had just gone is acknowledged at its return, though no other follows", async (t) => {
  const { server, postgres } = await serverOnOwnPostgres(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Ada", board_id: board.id });
  const ada = await server.wire({ token });
  ada.notify("heartbeat", { n: 1 });
  await ada.next("the first ack", (m) => isAck(m) && m.params.n === 1);
  await postgres.stop();
  server.clock.advance(1_000);
  ada.notify("heartbeat", { n: 2, stats: { load: 0.5 } });
  await until(async () => (await refusedNow(owner)) === "unavailable", { what: "the server to notice" });
  const waiting = async (kind: string) =>
    new RegExp(`^muster_backlog\\{kind="${kind}"\\} (\\d+)`, "m").exec(
      await (await fetch(`${server.url}/metrics`)).text(),
    )?.[1];
  assert.equal(await waiting("heartbeats"), "1");
  assert.equal(await waiting("agents"), "0");
  await postgres.start();
  await ada.next("the second ack", (m) => isAck(m) && m.params.n === 2);
  const [row] = await server.database`
    select s.last_seen_at, p.reported from agents a join presence p on p.agent_no = a.no
      join last_seen s on s.agent_no = a.no where a.id = ${agent.id}`;
  assert.deepEqual(
    { ...row },
    { last_seen_at: new Date(server.clock.now()), reported: { stats: { load: 0.5 } } },
  );
  assert.equal(await waiting("heartbeats"), "0");
  assert.equal(await waiting("journal"), "2");
});
