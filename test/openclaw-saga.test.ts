import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { FakeGateway } from "./support/fake-gateway/gateway.ts";
import {
  assertOnce,
  assertWhole,
  create,
  enter,
  isWoken,
  ROOT,
  whileTimePasses,
} from "./support/openclaw-stand.ts";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

for (const flavour of ["old", "middle", "new"] as const)
  test(`P11 B5 (${flavour}) everything is set up once, and what is as wanted is not written again`, async (t) => {
    const stand = await enter(t, flavour);
    const { gateway, wire } = stand;
    const agent = await create(stand, "Ada");
    await isWoken(stand, agent.id);
    assertWhole(stand, "ada", "10m");
    assert.equal(gateway.state.sessions.get("agent:ada:main")?.label, "Ada");
    const before = gateway.state.effects.length;
    await wire.call("agent.heartbeat", { agent_id: agent.id });
    await wire.call("agent.update", { agent_id: agent.id, identity_profile: { role: "pilot" } });
    await isWoken(stand, agent.id, 2);
    const kinds = gateway.state.effects.slice(before).map((effect) => effect.split(" ")[0]);
    assert.equal(kinds.includes("patch"), false, "the configuration was as wanted");
    assert.equal(kinds.filter((kind) => kind === "reset").length, 1);
    assert.deepEqual(gateway.state.effectsOf("update").length <= 1, true);
    const { agent: after } = await wire.call("agent.get", { agent_id: agent.id });
    assert.deepEqual([after.status, after.last_error], ["online", null]);
  });

test("a patch that a gateway loses, or that comes from an old hash, is written again", async (t) => {
  const stand = await enter(t, "old");
  stand.gateway.fault("config.patch", "lost");
  stand.gateway.fault("config.patch", {
    error: {
      code: "INVALID_REQUEST",
      message: "config changed since last load; re-run config.get and retry",
    },
  });
  const agent = await create(stand, "Ada");
  await isWoken(stand, agent.id);
  assertWhole(stand, "ada", "10m");
  assert.equal(stand.gateway.state.roster.keys().next().value, "main", "the gateway's own agent stays");
});

for (const [flavour, most] of [
  ["middle", 6],
  ["new", 8],
] as const)
  test(`B5 (${flavour}) a hundred agents at once: few patches, each agent once`, async (t) => {
    const stand = await enter(t, flavour);
    const { gateway } = stand;
    const agents = await Promise.all(
      Array.from({ length: 60 }, (_, number) => create(stand, `Hand ${number}`)),
    );
    agents.push(
      ...(await Promise.all(Array.from({ length: 40 }, (_, n) => create(stand, `Hand ${60 + n}`)))),
    );
    // Those that wait for the limit take longer than a check-in: others are woken once more.
    const woken = () => [...gateway.state.runs.keys()].filter((key) => key.endsWith("-1-0"));
    await whileTimePasses(stand, "a hundred agents to be woken", () => woken().length === 100);
    assert.equal(new Set(gateway.state.effectsOf("create")).size, 100);
    assert.equal(gateway.state.effectsOf("create").length, 100);
    assert.equal(gateway.connections, 1);
    const patches = gateway.state.effectsOf("patch");
    assert.ok(patches.length <= most, `${patches.length} patches: ${patches}`);
    for (let number = 0; number < 100; number++)
      assert.deepEqual(gateway.state.roster.get(`hand-${number}`)?.heartbeat, {
        every: "10m",
        target: "none",
      });
  });

test("files that a gateway does not take are asked for once, and their words stand in AGENTS.md", async (t) => {
  const stand = await enter(t, "new");
  await isWoken(stand, (await create(stand, "Ada")).id);
  const asked = stand.gateway.callsOf("agents.files.get");
  await isWoken(stand, (await create(stand, "Bob")).id);
  assert.equal(stand.gateway.callsOf("agents.files.get") - asked, 6);
  const guide = stand.gateway.state.files.get("bob")?.get("AGENTS.md") ?? "";
  for (const words of ["# How you work", "# Your tools", "# Your heartbeat", "# When you start"])
    assert.ok(guide.includes(words), words);
  assert.match(guide, /^Token: mst_agent_\S+$/m);
});

test("a label that another session has is no obstacle", async (t) => {
  const stand = await enter(t, "new");
  stand.gateway.state.patchSession({ key: "agent:other:main", label: "Ada" });
  await isWoken(stand, (await create(stand, "Ada")).id);
  assert.equal(stand.gateway.state.sessions.get("agent:ada:main")?.label, "Ada (ada)");
});

test("B7 a gateway that says no for good: the update fails with its words, and the agent is what it was", async (t) => {
  const stand = await enter(t, "new");
  const { gateway, gatewayId, wire } = stand;
  const agent = await create(stand, "Ada");
  await isWoken(stand, agent.id);
  await wire.call("agent.heartbeat", { agent_id: agent.id });
  gateway.fault("config.patch", { error: { code: "INVALID_REQUEST", message: "invalid config" } });
  const change = { agent_id: agent.id, heartbeat_config: { every: "3m" } };
  await assert.rejects(wire.call("agent.update", { ...change, wait: true }), /invalid config/);
  const { agent: after } = await wire.call("agent.get", { agent_id: agent.id });
  assert.equal(after.status, "online");
  assert.match(after.last_error, /invalid config\. .*heartbeat_config/);
  assert.deepEqual(await wire.call("gateway.retry", { gateway_id: gatewayId, agent_id: agent.id }), {
    retried: 1,
  });
  await isWoken(stand, agent.id, 2);
  assert.deepEqual(gateway.state.roster.get("ada")?.heartbeat, { every: "3m", target: "none" });
});

test("B4 B7 many agents whose gateway is away for an hour: none stays in updating, and all go on by themselves, once", async (t) => {
  const environment = { MUSTER_OFFLINE_AFTER: "10000h", MUSTER_CHECKIN_DEADLINE: "10000h" };
  const stand = await enter(t, "new", { environment });
  const { gateway, gatewayId, server, wire } = stand;
  const agents = await Promise.all(Array.from({ length: 30 }, (_, n) => create(stand, `Hand ${n}`)));
  await whileTimePasses(stand, "the first wake-ups", () => gateway.state.runs.size === 30);
  for (const { id } of agents) await wire.call("agent.heartbeat", { agent_id: id });
  gateway.fault("sessions.reset", "restart-after", { of: "hand-0:" });
  await gateway.close();
  const change = { heartbeat_config: { every: "3m" } };
  await Promise.all(agents.map(({ id }) => wire.call("agent.update", { agent_id: id, ...change })));
  const fresh = await create(stand, "Late");
  const waiting = async () => {
    const [row] = await server.database<{ count: number }[]>`
      select count(*)::int as count from agents where work_state = 'waiting' and provision_failed is not null`;
    return row?.count === 31;
  };
  const from = server.clock.now();
  await whileTimePasses(stand, "all to be given up for now", waiting);
  assert.ok(server.clock.now() - from < 300_000, "within five minutes");
  const { items } = await wire.call("agent.list", { limit: 100 });
  for (const { id, status, last_error } of items) {
    assert.equal(status, id === fresh.id ? "provisioning" : "online");
    assert.match(last_error, /cannot be reached/);
  }
  assert.equal((await wire.call("gateway.status", { gateway_id: gatewayId })).failed, 31);
  server.clock.advance(3_600_000);
  gateway.state.effects.length = 0;
  await gateway.listen();
  await whileTimePasses(stand, "all wake-ups", () => gateway.state.runs.size === 61);
  await whileTimePasses(stand, "nothing to be left", async () => {
    const { agents: counts, failed } = await wire.call("gateway.status", { gateway_id: gatewayId });
    return counts.updating === 0 && failed === 0;
  });
  assert.equal(gateway.state.effectsOf("reset").length, 30);
  assertOnce(stand);
  const after = (await wire.call("agent.list", { limit: 100 })).items;
  assert.deepEqual(new Set(after.map(({ last_error }: Message) => last_error)), new Set([null]));
});

test("B4 what has stalled goes on after a restart of the server too, with the token that was on its way", async (t) => {
  const stand = await enter(t, "new");
  const { gateway, server } = stand;
  await gateway.close();
  const agent = await create(stand, "Ada");
  await whileTimePasses(stand, "it to be given up for now", async () => {
    const [row] = await server.database`select 1 from agents where provision_failed is not null`;
    return row !== undefined;
  });
  await server.stop();
  await gateway.listen();
  await server.start();
  stand.wire = await server.wire();
  await isWoken(stand, agent.id);
  const token = /^Token: (\S+)$/m.exec(gateway.state.files.get("ada")?.get("AGENTS.md") ?? "")?.[1];
  assert.equal((await stand.wire.call("agent.attach", { token })).agent.id, agent.id);
});

test("pairing: the status tells the request, the agent fails with what to do, and goes on once it is allowed", async (t) => {
  const gateway = await FakeGateway.start(t, "new");
  gateway.asksForPairing = true;
  const server = await startTestServer(t);
  const wire = await server.wire();
  await wire.call("subscribe", { topic: "gateways" });
  const { gateway: made } = await wire.call("gateway.create", {
    name: "Played",
    kind: "openclaw",
    url: gateway.url,
    token: gateway.token,
    main_session_key: "agent:main:main",
    workspace_root: ROOT,
  });
  const { board } = await wire.call("board.create", { name: "Harbour", gateway_id: made.id });
  const stand = { gateway, server, wire, gatewayId: made.id, boardId: board.id };
  const agent = await create(stand, "Ada", { wait: true });
  assert.ok(agent.last_error.includes(gateway.requestId), agent.last_error);
  const { link } = await wire.call("gateway.status", { gateway_id: made.id });
  assert.deepEqual([link.state, link.pairing_request_id], ["pairing_required", gateway.requestId]);
  gateway.asksForPairing = false;
  await wire.call("gateway.retry", { gateway_id: made.id });
  await isWoken(stand, agent.id);
  await wire.next(
    "the link ready",
    ({ method, params }) =>
      method === "change" &&
      params.topic === "gateways" &&
      params.upserts.some((one: Message) => one.state === "ready"),
  );
});

test("B10 a delete takes the agent off the gateway, and what the gateway said of it is kept", async (t) => {
  for (const flavour of ["old", "new"] as const) {
    const stand = await enter(t, flavour);
    const { gateway, wire } = stand;
    const agent = await create(stand, "Ada");
    await isWoken(stand, agent.id);
    gateway.fault("agents.delete", "restart-after");
    await wire.call("agent.delete", { agent_id: agent.id });
    await whileTimePasses(stand, "the agent to be gone", () =>
      wire.call("agent.get", { agent_id: agent.id }).then(
        () => false as const,
        () => true,
      ),
    );
    assert.equal(gateway.state.roster.has("ada"), false);
    assert.deepEqual(gateway.state.effectsOf("delete"), ["delete ada"]);
    // An old one restarts once more after the delete: time has to pass until it is reached again.
    await whileTimePasses(stand, "the main agent to be asked", () =>
      gateway.state.runs.get(`muster-cleanup-${agent.id}`),
    );
    const bob = await create(stand, "Bob");
    await isWoken(stand, bob.id);
    // An answer that an old one's restart swallows is heard by nobody.
    await until(() => gateway.isSettled, { what: "the gateway to have restarted after its last write" });
    await wire.call("agent.delete", { agent_id: bob.id });
    await whileTimePasses(stand, "what the gateway said", async () => {
      const { items } = await wire.call("activity.list", { type: "agent.gateway.remark" });
      return items.some(({ message }: Message) => message.includes("could not remove of bob: sessions"));
    });
  }
});

for (const flavour of ["old", "new"] as const)
  for (const method of ["agents.delete", "sessions.delete", "chat.send"])
    test(`P16 (${flavour}) an agent that becomes the main agent leaves nothing of what it was, also when the gateway restarts at ${method}`, async (t) => {
      const stand = await enter(t, flavour);
      const { gateway, wire } = stand;
      const agent = await create(stand, "Ada");
      await isWoken(stand, agent.id);
      gateway.fault(method, "restart-before", { of: method === "chat.send" ? "muster-cleanup" : "ada" });
      await wire.call("agent.update", { agent_id: agent.id, is_gateway_main: true });
      await isWoken(stand, agent.id, 2);
      assert.equal(gateway.faultsLeft, 0);
      assert.deepEqual([...gateway.state.roster.keys()], ["main"]);
      assert.deepEqual([...gateway.state.sessions.keys()], ["agent:main:main"]);
      assert.deepEqual(gateway.state.effectsOf("delete"), ["delete ada"]);
    });

for (const fault of ["restart-before", "restart-after"] as const)
  test(`B10 the main agent is asked once to clean up, also when the gateway does a ${fault} as it is asked`, async (t) => {
    const stand = await enter(t, "new");
    const { gateway, wire } = stand;
    const agent = await create(stand, "Ada");
    await isWoken(stand, agent.id);
    const reference = `muster-cleanup-${agent.id}`;
    gateway.fault("chat.send", fault, { of: reference });
    await wire.call("agent.delete", { agent_id: agent.id });
    await whileTimePasses(stand, "the main agent to be asked", () => gateway.state.runs.get(reference));
    // The next request of the link comes after all that was to come of this one.
    await isWoken(stand, (await create(stand, "Bob")).id);
    assert.deepEqual(
      gateway.state.effectsOf("run").filter((run) => run.includes(reference)),
      [`run ${reference}`],
    );
  });

for (const flavour of ["old", "new"] as const)
  test(`B10 (${flavour}) an agent that is deleted while it is made does not stay on the gateway`, async (t) => {
    const stand = await enter(t, flavour);
    const { gateway, wire } = stand;
    gateway.fault("agents.create", "slow");
    const agent = await create(stand, "Ada");
    await until(() => gateway.state.roster.has("ada"), { what: "the agent at the gateway" });
    await wire.call("agent.delete", { agent_id: agent.id });
    await whileTimePasses(stand, "the agent to be gone", () =>
      wire.call("agent.get", { agent_id: agent.id }).then(
        () => false as const,
        () => true,
      ),
    );
    assert.equal(gateway.state.roster.has("ada"), false);
    assert.deepEqual(gateway.state.effectsOf("delete"), ["delete ada"]);
  });

test("B7 an agent that somebody else removes from the gateway while it is set up is made again", async (t) => {
  const stand = await enter(t, "new");
  const { gateway } = stand;
  gateway.fault("sessions.patch", "slow");
  const agent = await create(stand, "Ada");
  await until(() => gateway.state.sessions.has("agent:ada:main"), { what: "its session" });
  gateway.state.delete({ agentId: "ada" });
  await isWoken(stand, agent.id);
  assertWhole(stand, "ada", "10m");
  assert.deepEqual(gateway.state.effectsOf("create"), ["create ada", "create ada"]);
});

test("B10 with force an agent is deleted although its gateway is gone", async (t) => {
  const stand = await enter(t, "new");
  const agent = await create(stand, "Ada");
  await isWoken(stand, agent.id);
  await stand.gateway.stop();
  await stand.wire.call("agent.delete", { agent_id: agent.id, force: true });
  await whileTimePasses(stand, "the agent to be gone", () =>
    stand.wire.call("agent.get", { agent_id: agent.id }).then(
      () => false as const,
      () => true,
    ),
  );
});

test("B12 what the agent says at its gateway is a sign of life; what the gateway says of it is not", async (t) => {
  const stand = await enter(t, "new");
  const { gateway, wire } = stand;
  const agent = await create(stand, "Ada");
  await isWoken(stand, agent.id);
  const about = { runId: "r", sessionKey: "agent:ada:main", seq: 1 };
  await wire.call("subscribe", { topic: `chat:agent:${agent.id}` });
  gateway.tell("chat", { ...about, state: "error", errorMessage: "no model" });
  await wire.next("the error", ({ params }) =>
    params?.upserts?.some(({ kind }: Message) => kind === "error"),
  );
  assert.equal((await wire.call("agent.get", { agent_id: agent.id })).agent.status, "provisioning");
  gateway.tell("agent", { ...about, stream: "assistant", data: {} });
  await until(async () => (await wire.call("agent.get", { agent_id: agent.id })).agent.status === "online", {
    what: "the agent online",
  });
});

test("gateway.diff tells what is missing, extra and other than it should be", async (t) => {
  const stand = await enter(t, "new");
  const { gateway, gatewayId, wire } = stand;
  const [ada, bob] = [await create(stand, "Ada"), await create(stand, "Bob")];
  await isWoken(stand, ada.id);
  await isWoken(stand, bob.id);
  gateway.state.delete({ agentId: "bob" });
  gateway.state.create({ name: "stranger", workspace: "/elsewhere" });
  gateway.state.update({ agentId: "ada", workspace: "/moved", heartbeat: { every: "1h" } });
  const { items } = await wire.call("gateway.diff", { gateway_id: gatewayId });
  assert.deepEqual(
    items
      .map(({ kind, gateway_agent_id, wanted, found }: Message) => [kind, gateway_agent_id, wanted, found])
      .sort(),
    [
      ["extra", "stranger", null, "stranger"],
      ["heartbeat", "ada", { every: "10m", target: "none" }, { every: "1h" }],
      ["missing", "bob", "Bob", null],
      ["workspace", "ada", `${ROOT}/workspace-ada`, "/moved"],
    ],
  );
});
