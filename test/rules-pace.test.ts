import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { read } from "./support/agents.ts";
import { until } from "./support/await.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

const MOST = 10;
const ENVIRONMENT = { MUSTER_MAX_HEARTBEATS_PER_SECOND: String(MOST), MUSTER_OFFLINE_AFTER: "3s" };

interface Crew {
  server: TestServer;
  owner: Wire;
  host: Wire;
  agents: { agent: Message; token: string }[];
  /** What each channel has been told last, in milliseconds. */
  told: number[];
}

/** A host with agents that want to beat once a second. */
async function crewOf(t: TestContext, count: number): Promise<Crew> {
  const server = await startTestServer(t, { environment: ENVIRONMENT });
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const agents: Crew["agents"] = await Promise.all(
    Array.from({ length: count }, (_, n) =>
      owner.call("agent.create", {
        name: `Agent ${n}`,
        board_id: board.id,
        heartbeat_config: { every: "1s" },
      }),
    ),
  );
  const host = await server.wire({ token: null });
  const crew = { server, owner, host, agents, told: [] };
  for (const { token } of agents) await attach(crew, token);
  return crew;
}

async function attach(crew: Crew, token: string): Promise<Message> {
  const answer = await crew.host.call("agent.attach", { token });
  const { every_ms, offline_after_ms } = answer.heartbeat;
  assert.ok(offline_after_ms >= 2 * every_ms, `${offline_after_ms} ms are less than twice ${every_ms}`);
  crew.told[answer.ch] = every_ms;
  hear(crew);
  assert.ok(rate(crew) <= MOST, `${rate(crew)} heartbeats a second`);
  return answer;
}

/** Takes what the channels were told in the meantime. */
function hear({ host, told }: Crew): void {
  for (const { method, params } of host.received.splice(0))
    if (method === "heartbeat_interval") told[params.ch] = params.every_ms;
}

const rate = ({ told }: Crew) => told.reduce((sum, everyMs) => sum + 1_000 / everyMs, 0);

async function beatAll({ host, told }: Crew): Promise<void> {
  await Promise.all([...told.keys()].map((ch) => host.call("heartbeat", { ch })));
}

const statuses = async (owner: Wire) => {
  const { items } = await owner.call("agent.list", { limit: 500 });
  return new Set(items.map(({ status }: Message) => status));
};

test("B2 an agent is told its own interval, up to a tenth shorter, the same each time, and twice that as its deadline at least", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  for (const [every, ms] of [
    ["30s", 30_000],
    ["1h30m", 5_400_000],
  ] as const) {
    const heartbeat_config = { every };
    const { token } = await owner.call("agent.create", { name: every, board_id: board.id, heartbeat_config });
    const [first, second] = [
      await (await server.connect()).hello(token),
      await (await server.connect()).hello(token),
    ];
    assert.deepEqual(first.heartbeat, second.heartbeat);
    const { every_ms, offline_after_ms } = first.heartbeat;
    assert.ok(every_ms <= ms && every_ms >= 0.9 * ms, `${every_ms} for ${every}`);
    assert.equal(offline_after_ms, Math.max(600_000, 2 * ms));
  }
});

test("B2 a fleet that wants more than is permitted is slowed down, those who were there before too, and nobody goes offline by it", async (t) => {
  const crew = await crewOf(t, 40);
  const { server, owner } = crew;
  await beatAll(crew);
  assert.deepEqual(await statuses(owner), new Set(["online"]));
  assert.ok((crew.told[0] ?? 0) > 3_000, "the first was told again");
  // The slowest possible: each beats just before it would be late.
  const slowest = Math.max(...crew.told);
  for (let round = 0; round < 3; round++) {
    server.clock.advance(slowest);
    hear(crew);
    await beatAll(crew);
  }
  assert.deepEqual(await statuses(owner), new Set(["online"]));
  // And who does not beat is found out.
  server.clock.advance(2 * slowest + 3_000);
  await until(async () => (await statuses(owner)).has("offline"), { what: "silence to be noticed" });
});

test("B2 when others leave an agent is told to beat faster; its deadline is shorter only after it was heard", async (t) => {
  const crew = await crewOf(t, 40);
  const { server, owner, host, agents } = crew;
  await beatAll(crew);
  const slow = crew.told[0] ?? 0;
  for (let ch = 1; ch < 40; ch++) await host.call("agent.detach", { ch });
  const faster = until(() => host.received.find(({ method }) => method === "heartbeat_interval"), {
    what: "the interval to change",
  });
  server.clock.advance(1_000);
  const { params } = await faster;
  assert.equal(params.ch, 0);
  assert.ok(params.every_ms <= 1_000, `${params.every_ms} ms`);
  server.clock.advance(2 * slow - 1_500);
  assert.equal((await read(owner, agents[0]?.agent)).status, "online");
  await host.call("heartbeat", { ch: 0 });
  server.clock.advance(1_000);
  server.clock.advance(3_000);
  await until(async () => (await read(owner, agents[0]?.agent)).status === "offline", {
    what: "the shorter deadline to hold",
  });
});

test("B2 an agent whose settings change is told its new interval at once", async (t) => {
  const crew = await crewOf(t, 1);
  const { owner, host, agents } = crew;
  const agent_id = agents[0]?.agent.id;
  await host.call("heartbeat", { ch: 0 });
  await owner.call("agent.update", { agent_id, heartbeat_config: { every: "20s" } });
  const { params } = await host.next("the interval", ({ method }) => method === "heartbeat_interval");
  assert.ok(params.every_ms <= 20_000 && params.every_ms >= 18_000, `${params.every_ms} ms`);
  await owner.call("agent.update", { agent_id, name: "Else" });
  await host.next(
    "the configuration",
    ({ method, params }) => method === "config" && params.agent.name === "Else",
  );
  assert.equal(host.received.filter(({ method }) => method === "heartbeat_interval").length, 1);
});

test("B2 after a start of the server agents have the deadline that they were told before, counted from then", async (t) => {
  const crew = await crewOf(t, 40);
  const { server } = crew;
  await beatAll(crew);
  const fastest = Math.min(...crew.told);
  await server.restart();
  const owner = await server.wire();
  server.clock.advance(2 * fastest);
  assert.deepEqual(await statuses(owner), new Set(["online"]));
  server.clock.advance(4 * fastest);
  await until(async () => !(await statuses(owner)).has("online"), { what: "silence to be noticed" });
});
