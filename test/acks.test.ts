import assert from "node:assert/strict";
import { test } from "node:test";
import { Acknowledgements } from "../src/edge/acknowledgements.ts";
import { until } from "./support/await.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

const acksOf = (wire: Wire): number[] =>
  wire.received.filter((message) => message.method === "ack").map((message) => message.params.n);
const acked = (wire: Wire, n: number) =>
  wire.next(`ack ${n}`, (message: Message) => message.method === "ack" && message.params.n === n);

/** Agents that are attached to one host as channels 0, 1, …; those from `online` on have beaten already. */
async function fleet(server: TestServer, count: number, online = 0) {
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const host = await server.wire({ token: null });
  const agents: { id: string; token: string }[] = [];
  for (let ch = 0; ch < count; ch++) {
    const { agent, token } = await owner.call("agent.create", { name: `Agent ${ch}`, board_id: board.id });
    agents.push({ id: agent.id, token });
    await host.call("agent.attach", { token });
    if (ch >= online) await host.call("heartbeat", { ch });
  }
  return { owner, board, host, agents };
}

/** Keeps Postgres from writing an agent, by a lock of another's, while `during` runs. */
async function agentLocked(server: TestServer, agentId: string, during: () => Promise<void>): Promise<void> {
  await server.database.begin(async (transaction) => {
    await transaction`select 1 from agents where id = ${agentId} for update`;
    await during();
  });
}

/** Keeps Postgres from taking heartbeats while `during` runs. */
async function journalLocked(server: TestServer, during: () => Promise<void>): Promise<void> {
  await server.database.begin(async (transaction) => {
    await transaction`lock table heartbeat_journal in share mode`;
    await during();
  });
}

const isWaiting = (server: TestServer) =>
  until(
    async () => {
      const [row] = await server.database`
        select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      return row !== undefined;
    },
    { what: "the server's write to wait for the lock" },
  );

const seenIn = async (server: TestServer, id: string) => {
  const [row] = await server.database`
    select p.last_seen_at from last_seen p join agents a on a.no = p.agent_no where a.id = ${id}`;
  return row?.last_seen_at?.getTime();
};

test("B8 a heartbeat is acknowledged once Postgres has it, and not before", async (t) => {
  const server = await startTestServer(t);
  const { host, agents } = await fleet(server, 1);
  const id = agents[0]?.id ?? "";
  server.clock.advance(5_000);
  await journalLocked(server, async () => {
    host.notify("heartbeat", { n: 1 });
    await isWaiting(server);
    await host.ask({ method: "nothing" });
    assert.deepEqual(acksOf(host), []);
  });
  await acked(host, 1);
  assert.equal(await seenIn(server, id), server.clock.now());
});

test("B8 a beat that goes through the machine holds back every later number", async (t) => {
  const server = await startTestServer(t);
  const { host, agents } = await fleet(server, 3, 1);
  await agentLocked(server, agents[0]?.id ?? "", async () => {
    host.notify("heartbeat", { n: 1, ch: 0 });
    host.notify("heartbeat", { n: 2, ch: 1 });
    host.notify("heartbeats", { n: 3, chs: [1, 2] });
    await isWaiting(server);
    await host.ask({ method: "nothing" });
    assert.ok(acksOf(host).every((n) => n < 1));
  });
  await acked(host, 3);
  const [row] = await server.database`select status from agents where id = ${agents[0]?.id ?? ""}`;
  assert.equal(row?.status, "online");
});

test("B8 a beat under way holds its number also when a newer channel takes the agent", async (t) => {
  const server = await startTestServer(t);
  const { host, agents } = await fleet(server, 2, 1);
  const [first] = agents;
  await agentLocked(server, first?.id ?? "", async () => {
    host.notify("heartbeat", { n: 1, ch: 0 });
    await isWaiting(server);
    host.notify("heartbeat", { n: 2, ch: 1 });
    assert.equal((await host.call("agent.attach", { token: first?.token })).ch, 2);
    await host.next("detached", (message) => message.method === "detached");
    await host.ask({ method: "nothing" });
    assert.ok(
      acksOf(host).every((n) => n < 1),
      `acknowledged ${acksOf(host)} before Postgres had 1`,
    );
  });
  await acked(host, 2);
});

test("B8 acknowledgements come at most one a commit, rise, and end with the last number", async (t) => {
  const server = await startTestServer(t);
  const { host } = await fleet(server, 4, 2);
  const commits = async () =>
    Number(/^muster_commits_total (\d+)/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1]);
  const before = await commits();
  for (let n = 1; n <= 2_000; n++) host.notify("heartbeat", { n, ch: n % 4 });
  await acked(host, 2_000);
  const acks = acksOf(host);
  assert.deepEqual(
    acks,
    [...new Set(acks)].sort((a, b) => a - b),
  );
  assert.ok(acks.length <= (await commits()) - before, `${acks.length} acks`);
  assert.ok(acks.length < 1_000, "one for many");
});

test("B8 numbers need not be next to each other, and a lower one says nothing new", async (t) => {
  const server = await startTestServer(t);
  const { host } = await fleet(server, 1);
  host.notify("heartbeat", { n: 0 });
  await acked(host, 0);
  host.notify("heartbeat", { n: Number.MAX_SAFE_INTEGER });
  await acked(host, Number.MAX_SAFE_INTEGER);
  host.notify("heartbeat", { n: 5 });
  await host.call("heartbeat", { ch: 0 });
  assert.deepEqual(acksOf(host), [0, Number.MAX_SAFE_INTEGER]);
});

test("B8 a request's heartbeat is answered once it is committed", async (t) => {
  const server = await startTestServer(t);
  const { host } = await fleet(server, 1);
  server.clock.advance(5_000);
  let isAnswered = false;
  let answer: Promise<Message> | undefined;
  await journalLocked(server, async () => {
    answer = host.call("heartbeat", { ch: 0 }).finally(() => {
      isAnswered = true;
    });
    await isWaiting(server);
    await host.ask({ method: "nothing" });
    assert.equal(isAnswered, false);
  });
  assert.equal((await answer).agent.last_seen_at, new Date(server.clock.now()).toISOString());
});

test("B8 a number that goes with a later batch is not acknowledged with an earlier one", async () => {
  const sent: number[] = [];
  const acknowledgements = new Acknowledgements({ acknowledged: (n) => sent.push(n) });
  const slow = { waitingSince: 1 };
  acknowledgements.received(1);
  acknowledgements.hold(slow);
  acknowledgements.received(2);
  acknowledgements.mark();
  acknowledgements.acknowledge();
  // The machine has 1; 2, which waited behind it, takes the short way only now.
  acknowledgements.takeBack(2);
  acknowledgements.release(slow);
  await new Promise(setImmediate);
  assert.equal(sent.at(-1), 1);
  acknowledgements.mark();
  acknowledgements.acknowledge();
  assert.equal(sent.at(-1), 2);
});

test("an agent that is gone leaves nothing to the one that takes its place in memory", async (t) => {
  const server = await startTestServer(t);
  const { owner, board, host, agents } = await fleet(server, 1);
  const [gone] = agents;
  // Superseded: its session stays open, and knows the place where the agent was.
  const older = await server.wire({ token: gone?.token ?? "" });
  await host.call("agent.attach", { token: gone?.token });
  await owner.call("agent.update", { agent_id: gone?.id, name: "Renamed" });
  const asked = await host.next("config", (message) => message.method === "config");
  await owner.call("agent.delete", { agent_id: gone?.id });
  const { agent } = await owner.call("agent.create", { name: "Newcomer", board_id: board.id });
  server.clock.advance(60_000);
  host.send({ id: asked.id, error: { code: -1, message: "not mine" } });
  older.send({ id: "x", method: "organization.get" });
  host.notify("heartbeat", { n: 9, ch: 1 });
  await host.ask({ method: "nothing" });
  await older.ask({ method: "nothing" });
  // A commit that is behind whatever those may have left.
  await owner.call("agent.heartbeat_or_create", { name: "Witness", board_id: board.id });
  const shown = (await owner.call("agent.get", { agent_id: agent.id })).agent;
  assert.deepEqual(
    [shown.status, shown.last_seen_at, shown.reported, shown.last_error, shown.version],
    ["provisioning", null, null, null, agent.version],
  );
});

test("B8 no acknowledgement names a number before the first that was sent", async (t) => {
  const server = await startTestServer(t);
  const { host, agents } = await fleet(server, 2, 2);
  const [, second] = agents;
  // Both go through their machines: the later number is held back by the earlier one.
  await agentLocked(server, agents[0]?.id ?? "", async () => {
    host.notify("heartbeat", { n: 100, ch: 0 });
    host.notify("heartbeat", { n: 101, ch: 1 });
    await isWaiting(server);
    assert.ok(second);
  });
  await acked(host, 101);
  assert.ok(
    acksOf(host).every((n) => n >= 100),
    String(acksOf(host)),
  );
});
