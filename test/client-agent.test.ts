import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Agent, type AgentOptions, type AgentState, connectAgent, MusterError } from "../src/client/index.ts";
import { reasonIs, States, start } from "./support/client-fixture.ts";
import { agentHello, agentRecord, type FakeServer } from "./support/fake-server.ts";
import { TurnedClock } from "./support/turned-clock.ts";

async function startAgent(t: TestContext, server: FakeServer, options: Partial<AgentOptions> = {}) {
  const clock = new TurnedClock();
  const states = new States<AgentState>();
  const agent = await connectAgent({
    url: server.url,
    token: "first",
    clock,
    random: () => 0.5,
    onState: states.add,
    ...options,
  });
  t.after(() => agent.stop());
  return { agent, clock, states, session: await server.session(0) };
}

test("an agent attaches, beats at its pace with rising numbers, and learns what is committed", async (t) => {
  const { agent, clock, states, session } = await startAgent(
    t,
    await start(t, { hello: () => agentHello(10_000) }),
  );
  assert.deepEqual(await session.received("heartbeat", 0), { n: 1 });
  agent.report({ activity: "busy", stats: { load: 1 } });
  clock.advance(999);
  assert.equal(session.count("heartbeat"), 1);
  clock.advance(1);
  assert.deepEqual(await session.received("heartbeat", 1), { n: 2, activity: "busy", stats: { load: 1 } });
  clock.advance(9_499);
  assert.equal(agent.beat(), 3);
  let committed = false;
  const third = agent.acked(3).then(() => (committed = true));
  session.notify("ack", { n: 2 });
  await states.next("online");
  await agent.acked(2);
  assert.equal(committed, false);
  session.notify("ack", { n: 3 });
  await third;
  session.notify("heartbeat_interval", { every_ms: 2_000 });
  assert.match(String(await session.ask("unknown", {})), /object/);
  clock.advance(1_999);
  assert.equal(session.count("heartbeat"), 3);
  clock.advance(1);
  assert.equal((await session.received("heartbeat", 3)).n, 4);
  assert.throws(() => agent.report({ stats: { text: "x".repeat(5_000) } }), reasonIs("invalid_params"));
});

test("an agent's unacknowledged beat is told when the connection is lost, and it comes back", async (t) => {
  const server = await start(t, { hello: () => agentHello() });
  const { agent, clock, states, session } = await startAgent(t, server);
  const lost = assert.rejects(agent.acked(1), reasonIs("unavailable"));
  session.close();
  await lost;
  clock.advance((await states.next("disconnected")).retryInMs);
  await states.next("connected", 1);
  clock.advance(2_500);
  assert.deepEqual(await (await server.session(1)).received("heartbeat"), { n: 2 });
});

for (const [part, times] of [
  [0.25, [1_000, 3_000, 11_000, 19_000]],
  [0.5, [2_000, 6_000, 14_000, 22_000]],
  [0.75, [3_000, 9_000, 17_000]],
] as const)
  test(`B2 agents that come back together are out of step: one that draws ${part} beats after ${times[0]} ms, then after ${times[1]}`, async (t) => {
    const server = await start(t, { hello: () => agentHello(8_000) });
    const { clock, states, session } = await startAgent(t, server, { random: () => part });
    await session.received("heartbeat");
    session.close();
    clock.advance((await states.next("disconnected")).retryInMs);
    await states.next("connected", 1);
    const back = await server.session(1);
    const at: number[] = [];
    for (let passed = 250; passed <= 24_000; passed += 250) {
      const before = back.count("heartbeat");
      clock.advance(250);
      // Its answer comes behind the beat.
      await back.ask("unknown", {});
      if (back.count("heartbeat") > before) at.push(passed);
    }
    assert.deepEqual(at, times);
  });

test("B7 an agent applies a configuration, keeps the rotated token and uses it at the next connect", async (t) => {
  const server = await start(t, { hello: () => agentHello() });
  const kept: string[] = [];
  const applied: string[] = [];
  const { clock, states, session } = await startAgent(t, server, {
    onToken: (token) => void kept.push(token),
    onConfig: ({ hash }) => {
      if (hash === "bad") throw new Error("no room");
      applied.push(hash);
    },
  });
  const config = { ch: 0, agent: agentRecord(1), hash: "h1", token: "second" };
  assert.deepEqual(await session.ask("config", config), { applied: "h1" });
  assert.deepEqual([kept, applied], [["second"], ["h1"]]);
  assert.match(
    JSON.stringify(await session.ask("config", { ...config, hash: "bad", token: undefined })),
    /no room/,
  );
  session.notify("detached", { ch: 0, reason: "revoked" });
  clock.advance((await states.next("disconnected")).retryInMs);
  assert.equal((await (await server.session(1)).received("hello")).token, "second");
});

test("B7 a rotated token that could not be kept is not used", async (t) => {
  const server = await start(t, { hello: () => agentHello() });
  const { clock, states, session } = await startAgent(t, server, {
    onToken: () => {
      throw new Error("disk full");
    },
  });
  const answer = await session.ask("config", { ch: 0, agent: agentRecord(1), hash: "h", token: "second" });
  assert.match(JSON.stringify(answer), /disk full/);
  session.close();
  clock.advance((await states.next("disconnected")).retryInMs);
  assert.equal((await (await server.session(1)).received("hello")).token, "first");
});

for (const reason of ["superseded", "deleted", "revoked"] as const)
  test(`an agent that is detached as ${reason} stops for good`, async (t) => {
    const server = await start(t, { hello: () => agentHello() });
    const { agent, clock, states, session } = await startAgent(t, server);
    session.notify("detached", { ch: 0, reason });
    assert.deepEqual(await agent.ended, { state: reason });
    await session.closed();
    await agent.stop();
    assert.equal(clock.timers, 0);
    assert.deepEqual(states.seen.at(-1), { state: reason });
    assert.equal(server.sessions.length, 1);
  });

test("after its sign-off an agent beats no more", async (t) => {
  let answer: (result: unknown) => void = () => {};
  const server = await start(t, {
    hello: () => agentHello(),
    heartbeat: () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  });
  const { agent, clock, session } = await startAgent(t, server);
  const stopped = agent.stop();
  await session.received("heartbeat", 1);
  session.notify("heartbeat_interval", { every_ms: 1_000 });
  await session.ask("config", { ch: 0, agent: agentRecord(1), hash: "h" });
  agent.report({ activity: "busy" });
  clock.advance(1_500);
  answer({ agent: agentRecord(1) });
  await stopped;
  await session.closed();
  assert.equal(session.count("heartbeat"), 2);
});

test("an agent signs off when it is stopped", async (t) => {
  const server = await start(t, {
    hello: () => agentHello(),
    heartbeat: () => ({ agent: agentRecord(1, { status: "offline" }) }),
  });
  const { agent, clock, session } = await startAgent(t, server);
  await session.received("heartbeat");
  await agent.stop();
  assert.deepEqual(await session.received("heartbeat", 1), { status: "offline" });
  assert.deepEqual(await agent.ended, { state: "stopped" });
  assert.equal(clock.timers, 0);
});

test("an agent keeps trying until it is attached, and stops when its token is refused", async (t) => {
  let answers = 0;
  const server = await start(t, {
    hello: () => {
      answers += 1;
      if (answers === 1) throw new MusterError("unavailable", "starting", { retry_after_ms: 3_000 });
      throw new MusterError("unauthenticated", "unknown token");
    },
  });
  const clock = new TurnedClock();
  const states = new States<AgentState>();
  const agent = new Agent({ url: server.url, token: "x", clock, random: () => 0, onState: states.add });
  assert.equal((await states.next("disconnected")).retryInMs, 3_000);
  clock.advance(3_000);
  await assert.rejects(agent.attached, reasonIs("unauthenticated"));
  assert.equal((await agent.ended).state, "refused");
});

test("a user's token does not make an agent", async (t) => {
  const server = await start(t);
  await assert.rejects(connectAgent({ url: server.url, token: "user" }), reasonIs("forbidden"));
});
