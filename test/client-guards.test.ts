import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Agent, type AgentOptions, type AgentState, connect, MusterError } from "../src/client/index.ts";
import { open, reasonIs, States, start, value } from "./support/client-fixture.ts";
import { agentHello, agentRecord, type FakeServer, ID, userHello } from "./support/fake-server.ts";
import { TurnedClock } from "./support/turned-clock.ts";

const snapshot = (items: unknown[], more = false) => ({ topic: "t", epoch: "e1", offset: 0, items, more });

async function startAgent(t: TestContext, server: FakeServer, options: Partial<AgentOptions> = {}) {
  const clock = new TurnedClock();
  const states = new States<AgentState>();
  const agent = new Agent({
    url: server.url,
    token: "first",
    clock,
    random: () => 0.5,
    onState: states.add,
    ...options,
  });
  t.after(() => agent.stop());
  await agent.attached;
  return { agent, clock, states, session: await server.session(0) };
}

test("a watch takes statuses, states, kinds and fields that it does not know", async (t) => {
  const link = { id: ID, state: "meditating", version: "2031.1", mood: "calm" };
  const chat = { agent_id: ID, run_id: "r", kind: "thought", text: null, at: "2031-01-01T00:00:00.000Z" };
  const topics: Record<string, object> = {
    agents: agentRecord(1, { status: "hibernating", version: 3, moon: { phase: 2 } }),
    [`commands:agent:${ID}`]: { id: ID, name: "look", status: "parked" },
    activity: { id: ID, type: "agent.dreamt", message: "It dreamt." },
    gateways: link,
    [`chat:agent:${ID}`]: chat,
    moods: { mood: "calm", version: null },
  };
  const server = await start(t, { subscribe: ({ topic }) => snapshot([topics[String(topic)]]) });
  const { client, session } = await open(t, server);
  for (const [topic, item] of Object.entries(topics)) {
    const watch = client.watch(topic);
    assert.deepEqual(await value(watch), { kind: "snapshot", items: [item], more: false });
    session.notify("mood", { topic, mood: "calm" });
    for (const offset of [1, 2]) {
      session.notify("change", { topic, offset, upserts: [item], removes: [], mood: "calm" });
      assert.deepEqual(await value(watch), { kind: "change", offset, upserts: [item], removes: [] });
    }
  }
});

test("results with statuses, states, kinds and fields that are not known are results", async (t) => {
  const results = {
    "agent.get": { agent: agentRecord(1, { status: "hibernating" }), moods: [] },
    "gateway.status": { link: { id: ID, state: "meditating" }, agents: { hibernating: 3 }, failed: 0 },
    "gateway.diff": { items: [{ kind: "mood", agent_id: null, gateway_agent_id: "a" }] },
    "agent.command": { command_id: ID, status: "parked" },
    "task.list": { items: [{ id: ID, status: "dropped" }], total: 1, next_cursor: null },
  };
  const hello = {
    ...userHello(),
    principal: { kind: "service" },
    limits: { max_frame_bytes: 70_000, x: "y" },
  };
  const server = await start(t, { hello: () => hello });
  for (const [method, result] of Object.entries(results)) server.handlers[method] = () => result;
  const { client } = await open(t, server);
  assert.equal(String(client.hello?.principal.kind), "service");
  const agent_id = ID;
  assert.deepEqual(await client.request("agent.get", { agent_id }), results["agent.get"]);
  assert.deepEqual(await client.request("gateway.status", { gateway_id: ID }), results["gateway.status"]);
  assert.deepEqual(await client.request("gateway.diff", { gateway_id: ID }), results["gateway.diff"]);
  assert.deepEqual(await client.request("agent.command", { agent_id, name: "x" }), results["agent.command"]);
  assert.deepEqual(await client.request("task.list", {}), results["task.list"]);
});

test("an agent that is detached for a reason it does not know comes back, and the server says what it means", async (t) => {
  const server = await start(t, { hello: () => agentHello() });
  const { agent, clock, states, session } = await startAgent(t, server);
  session.notify("detached", { ch: 0, reason: "moved" });
  clock.advance((await states.next("disconnected")).retryInMs);
  await states.next("connected", 1);
  server.handlers.hello = () => {
    throw new MusterError("forbidden", "this agent is suspended");
  };
  (await server.session(1)).notify("detached", { ch: 0, reason: "suspended" });
  clock.advance((await states.next("disconnected", 1)).retryInMs);
  const end = await agent.ended;
  assert.ok(end.state === "refused" && end.why.message === "this agent is suspended");
});

test("an agent takes configurations of statuses that it does not know, and not what is none", async (t) => {
  const configured: string[] = [];
  const { states, session } = await startAgent(t, await start(t, { hello: () => agentHello() }), {
    onConfig: ({ agent }) => void configured.push(agent.status),
  });
  const config = { ch: 0, agent: agentRecord(1, { status: "hibernating" }), hash: "h", mood: "calm" };
  assert.deepEqual(await session.ask("config", config), { applied: "h" });
  const bad = [{ hash: 5 }, { agent: null }, { agent: agentRecord(1, { version: "2" }) }, { token: {} }];
  for (const wrong of bad) {
    const answer = JSON.stringify(await session.ask("config", { ...config, ...wrong }));
    assert.match(answer, /invalid_params.*no configuration|no configuration.*invalid_params/);
  }
  assert.deepEqual(configured, ["hibernating"]);
  assert.equal(states.seen.filter(({ state }) => state === "configured").length, 1);
});

test("an ack for a beat that was never sent, or of no number, acknowledges nothing", async (t) => {
  const { agent, states, session } = await startAgent(t, await start(t, { hello: () => agentHello() }));
  for (const n of [2, -1, 0.5, 1e300, "1", null, {}]) session.notify("ack", { n });
  for (const every_ms of ["1", null, {}]) session.notify("heartbeat_interval", { every_ms });
  for (const reason of [1, null, {}]) session.notify("detached", { ch: 0, reason });
  assert.match(JSON.stringify(await session.ask("x", {})), /method_not_found/);
  assert.ok(!states.seen.some(({ state }) => state === "online"));
  session.notify("ack", { n: 1 });
  await agent.acked(1);
});

const NO_ITEM: readonly [what: string, item: unknown, wrong: RegExp][] = [
  ["no object", 5, /must be an object/],
  ["an array", [], /must be an object/],
  ["no id", { ...agentRecord(1), id: undefined }, /id must be text/],
  ["a version that is text", agentRecord(1, { version: "7" }), /version must be a whole number/],
  ["half a version", agentRecord(1, { version: 1.5 }), /version must be a whole number/],
  ["a status that is a number", agentRecord(1, { status: 1 }), /status must be text/],
  ["a last-seen time that is none", agentRecord(1, { last_seen_at: "soon" }), /last_seen_at must be a time/],
  [
    "a key that would change a prototype",
    agentRecord(1, { reported: JSON.parse('{"stats":{"__proto__":{"polluted":1}}}') }),
    /reported\.stats\.__proto__ must not be a key/,
  ],
  ["depth without end", agentRecord(1, { reported: { a: nested(50) } }), /nested deeper/],
];

for (const [what, item, wrong] of NO_ITEM)
  test(`a watch ends with why at an item that has ${what}`, async (t) => {
    const server = await start(t, { subscribe: () => snapshot([]), unsubscribe: () => ({}) });
    const { client, session } = await open(t, server);
    const watch = client.watch("agents");
    await value(watch);
    session.notify("change", { topic: "agents", offset: 1, upserts: [item], removes: [] });
    await assert.rejects(watch.next(), isMisread(wrong));
    await session.received("unsubscribe");
    server.handlers.subscribe = () => snapshot([item]);
    await assert.rejects(client.watch("agents").next(), isMisread(wrong));
    assert.deepEqual(await client.call("unsubscribe"), {});
  });

const NO_MESSAGE: readonly [method: string, params: object, wrong: RegExp][] = [
  ["change", { offset: "1", upserts: [], removes: [] }, /offset must be a whole number/],
  ["change", { offset: -1, upserts: [], removes: [] }, /offset must be a whole number/],
  ["change", { offset: 1, upserts: {}, removes: [] }, /upserts must be an array/],
  ["change", { offset: 1, upserts: [], removes: [5] }, /removes\.0 must be text/],
  ["snapshot", { items: null, more: false }, /items must be an array/],
  ["snapshot", { items: [], more: "no" }, /more must be true or false/],
  ["reset", { epoch: 5, offset: 0, items: [], more: false }, /epoch must be text/],
  ["reset", { epoch: "e", offset: 1e300, items: [], more: false }, /offset must be a whole number/],
  ["seen", { at: "soon", agents: [] }, /at must be a time/],
  ["seen", { at: "2031-01-01T00:00:00.000Z", agents: [["a", null]] }, /agents\.0 must be a finite number/],
  ["seen", { at: "2031-01-01T00:00:00.000Z", agents: ["a"] }, /agents\.0 must be an array/],
  ["end", { reason: null }, /reason must be text/],
];

for (const [method, params, wrong] of NO_MESSAGE)
  test(`a watch ends with why at ${method} ${JSON.stringify(params)}`, async (t) => {
    const server = await start(t, { subscribe: () => snapshot([]), unsubscribe: () => ({}) });
    const { client, session } = await open(t, server);
    const watch = client.watch("agents");
    await value(watch);
    session.notify(method, { topic: "agents", ...params });
    await assert.rejects(watch.next(), isMisread(wrong));
    assert.deepEqual(await client.call("unsubscribe"), {});
  });

test("missed changes with a gap between them end the watch: asked for again they would be the same", async (t) => {
  const server = await start(t, { subscribe: () => snapshot([]), unsubscribe: () => ({}) });
  const { client, clock, states, session } = await open(t, server);
  const watch = client.watch("agents");
  await value(watch);
  const changes = [{ offset: 3, upserts: [], removes: ["a"] }];
  server.handlers.subscribe = () => ({
    topic: "t",
    epoch: "e1",
    offset: 3,
    recovered: true,
    changes,
    more: false,
  });
  session.close();
  clock.advance((await states.next("disconnected")).retryInMs);
  await assert.rejects(watch.next(), isMisread(/changes must go on/));
});

const NO_RESULT: readonly unknown[] = [
  null,
  [],
  { agent: null },
  { agent: { ...agentRecord(1), id: 7 } },
  { agent: agentRecord(1, { version: -1 }) },
  { agent: agentRecord(1), more: JSON.parse('{"__proto__":{"polluted":1}}') },
];

test("an answer that is none of the protocol is an error that says what is wrong", async (t) => {
  for (const result of NO_RESULT) await assertNoResult(t, result);
});

async function assertNoResult(t: TestContext, result: unknown): Promise<void> {
  const { client } = await open(t, await start(t, { "agent.get": () => result }));
  await assert.rejects(client.request("agent.get", { agent_id: ID }), (error: unknown) => {
    assert.ok(error instanceof MusterError && error.reason === "internal", String(error));
    assert.match(error.message, /^agent\.get: the answer is none of this protocol: .*must/);
    return true;
  });
}

for (const [what, wrong] of [
  ["another protocol", { protocol: 2 }],
  ["a limit that nothing could pass", { limits: { max_in_flight: 0 } }],
  ["limits that are text", { limits: "many" }],
  ["no principal", { principal: null }],
] as const)
  test(`a hello of ${what} makes no connection`, async (t) => {
    const server = await start(t, { hello: () => ({ ...userHello(), ...wrong }) });
    const trial = connect({ url: server.url, token: "t", clock: new TurnedClock() });
    await assert.rejects(trial, (error: unknown) => {
      assert.ok(reasonIs("unavailable")(error) && error instanceof Error);
      assert.match(error.message, /answer to hello is none of this protocol: \S+ must/);
      return true;
    });
  });

function isMisread(wrong: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof MusterError && error.reason === "internal", String(error));
    assert.match(error.message, /^agents: the server sent what is none of this protocol: /);
    assert.match(error.message, wrong);
    return true;
  };
}

function nested(depth: number): unknown {
  return depth === 0 ? 1 : { a: nested(depth - 1) };
}
