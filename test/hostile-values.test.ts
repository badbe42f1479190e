import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ALL_METHODS, exampleOf, makeWorld } from "./support/examples.ts";
import { assertError, assertLives } from "./support/hostile.ts";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

const PATH = [["name"], ["title"], ["type"], ["objective"], ["description"], ["cursor"], ["idempotency_key"]];
const SECRETS = [["token"], ["url"], ["main_session_key"], ["workspace_root"], ["soul_template"], ["slug"]];
const IDS = [
  ["agent_id"],
  ["board_id"],
  ["gateway_id"],
  ["task_id"],
  ["command_id"],
  ["token_id"],
  ["enrolment_id"],
  ["topic"],
];
const FIELDS = [
  ...PATH,
  ...SECRETS,
  ...IDS,
  ["identity_template"],
  ["assigned_agent_id"],
  ["target_date"],
].flat();

test("U+0000 is refused in every text field of every method", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const world = await makeWorld(server, owner);
  let tried = 0;
  for (const method of ALL_METHODS)
    for (const field of FIELDS) {
      const { params } = exampleOf(method, world);
      if (!(field in params) || method === "hello") continue;
      tried += 1;
      const answer = await owner.ask({ method, params: { ...params, [field]: "a\u0000b" } });
      assertError(answer, "invalid_params", `${method} ${field}`);
      const paths = answer.error.data.issues.map((issue: Message) => issue.path);
      assert.ok(paths.includes(field), `${method} names ${field}, not ${paths}`);
    }
  assert.ok(tried > 60, `${tried} fields`);
});

test("P9 names are text: of paths, patterns, markup and terminals, they come back as they were", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner, "local");
  const names = [
    "../../x",
    "/etc/passwd",
    "C:\\windows\\x",
    "100%",
    "a_b",
    "'; drop table agents; --",
    '"><script>alert(1)</script>',
    "{{ 7 | times: 6 }}",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what is tried
    "${process.exit(1)}",
    "$(reboot)",
    "toString",
    "soft\u00adhyphen",
    "Ünïcödé 💥",
    "x".repeat(200),
  ];
  for (const name of names) {
    const { agent } = await owner.call("agent.create", { name, board_id: board.id });
    assert.equal(agent.name, name);
    const { items } = await owner.call("agent.list", { name });
    assert.deepEqual(
      items.map((item: Message) => item.id),
      [agent.id],
      `${name} finds itself alone`,
    );
    await owner.call("agent.delete", { agent_id: agent.id, force: true, wait: true });
  }
  const root = join(server.dataDir, "workspaces");
  assert.ok(!existsSync(join(server.dataDir, "x")), "nothing is written beside the workspaces");
  assert.ok(readdirSync(server.dataDir).every((entry) => !["x", "etc"].includes(entry)));
  assert.ok(existsSync(root));
  for (const name of ["", "   ", "\n", "a\nb", "a\u001b[2Jb", "a\u0007", "x".repeat(201), 7, null, ["x"], {}])
    assertError(
      await owner.ask({ method: "agent.create", params: { name, board_id: board.id } }),
      "invalid_params",
      JSON.stringify(name),
    );
});

test("P24 the ids of another organization are not found, in whatever field they stand", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const world = await makeWorld(server, owner);
  const stranger = await server.wire({ token: (await server.addOrganization("Other")).token });
  const own = await makeWorld(server, stranger);
  const swaps: [keyof typeof world, string[]][] = [
    ["boardId", ["board_id"]],
    ["gatewayId", ["gateway_id"]],
    ["agentId", ["agent_id", "assigned_agent_id"]],
    ["taskId", ["task_id"]],
    ["commandId", ["command_id"]],
  ];
  for (const method of ALL_METHODS) {
    if (method.endsWith(".delete")) continue;
    for (const [key, fields] of swaps)
      for (const field of fields) {
        const { params } = exampleOf(method, own);
        if (!(field in params)) continue;
        const { cursor: _none, ...swapped } = { cursor: "", ...params, [field]: world[key] };
        const answer = await stranger.ask({ method, params: swapped });
        if (answer.result) assert.deepEqual(answer.result.items, [], `${method} ${field} shows nothing`);
        else assertError(answer, "not_found", `${method} ${field}`);
      }
  }
  // To delete what is not there is fine, and deletes nothing.
  for (const [method, params] of [
    ["agent.delete", { agent_id: world.agentId }],
    ["task.delete", { task_id: world.taskId }],
    ["board.delete", { board_id: world.boardId }],
    ["gateway.delete", { gateway_id: world.gatewayId }],
  ] as const)
    assert.deepEqual(await stranger.call(method, params), { ok: true });
  await owner.call("agent.get", { agent_id: world.agentId });
  await owner.call("task.get", { task_id: world.taskId });
  await owner.call("gateway.get", { gateway_id: world.gatewayId });
});

test("no key of a stored object can be one by which objects are attacked, others are as they were", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { boardId: board_id } = await makeWorld(server, owner);
  const params = { name: randomUUID(), board_id, identity_profile: { " __proto__ ": "x", role: "cook" } };
  assertError(await owner.ask({ method: "agent.create", params }), "invalid_params");
  const identity_profile = JSON.parse('{"constructor":"a","prototype":"b","toString":"c"}');
  const { agent } = await owner.call("agent.create", { ...params, identity_profile });
  const packed = await server.wire({ codec: "msgpack" });
  const read = await packed.call("agent.get", { agent_id: agent.id });
  for (const profile of [agent.identity_profile, read.agent.identity_profile])
    assert.deepEqual(Object.entries(profile).sort(), Object.entries(identity_profile).sort());
  await assertLives(server, owner);
});

test("what is stored nests no deeper than an answer that carries it may", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { token } = await owner.call("agent.create", { name: "Deep", board_id: board.id });
  const agent = await server.wire({ token });
  const nested = (depth: number): object => (depth === 1 ? {} : { a: nested(depth - 1) });
  await owner.call("subscribe", { topic: "agents" });
  assert.ok(await agent.call("heartbeat", { stats: nested(16) }));
  for (const depth of [17, 28])
    for (const [wire, method, params] of [
      [agent, "heartbeat", { stats: nested(depth) }],
      [owner, "agent.create", { name: "B", board_id: board.id, heartbeat_config: nested(depth) }],
      [owner, "agent.create", { name: "B", board_id: board.id, identity_profile: { a: nested(depth - 1) } }],
      [owner, "board.create", { name: "B", success_metrics: nested(depth) }],
    ] as const)
      assertError(await wire.ask({ method, params }), "invalid_params", `${method} ${depth}`);
});

test("dates, durations and cursors beyond what can be are refused, those at the edge are not", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const bad: [string, object][] = [
    ["activity.list", { since: "0000-12-31T23:59:59Z" }],
    ["activity.list", { since: "9999-12-31T23:59:59-23:59" }],
    ["activity.list", { since: "2026-02-30T00:00:00Z" }],
    ["activity.list", { since: "yesterday" }],
    ["activity.list", { cursor: "9".repeat(16) }],
    ["board.create", { name: "B", target_date: "0000-01-01" }],
    ["board.create", { name: "B", target_date: "2026-02-30" }],
    ["board.create", { name: "B", target_date: "10000-01-01" }],
    ["user_token.create", { name: "t", expires_in: "36501d" }],
    ["user_token.create", { name: "t", expires_in: "104249991d" }],
    ["user_token.create", { name: "t", expires_in: "-1s" }],
    ["agent.list", { limit: 0 }],
    ["agent.list", { limit: 501 }],
    ["agent.list", { offset: -1 }],
    ["agent.list", { offset: 1_000_000_001 }],
    ...["x", "0000-01-01T00:00:00.000Z a", "2026-02-30T00:00:00.000Z a", "2026-01-01T1:1Z a"].map(
      (place): [string, object] => ["agent.list", { cursor: Buffer.from(place).toString("base64url") }],
    ),
  ];
  for (const [method, params] of bad)
    assertError(await owner.ask({ method, params }), "invalid_params", `${method} ${JSON.stringify(params)}`);
  for (const since of ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2026-01-01T00:00:00+14:00"])
    await owner.call("activity.list", { since });
  for (const target_date of ["0001-01-01", "9999-12-31"]) {
    const { board } = await owner.call("board.create", { name: randomUUID(), target_date });
    assert.equal(board.target_date, target_date);
  }
  assert.ok(
    (await owner.call("user_token.create", { name: "t", expires_in: "36500d" })).user_token.expires_at,
  );
});

test("wide values in one frame keep nobody waiting", async (t) => {
  const server = await startTestServer(t);
  for (const codec of ["json", "msgpack"] as const) {
    const owner = await server.wire({ codec });
    const neighbour = await server.wire();
    for (const stats of [
      { a: Array(500_000).fill(0) },
      Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`k${i}`, i])),
      { a: Array(80_000).fill([[]]) },
    ]) {
      const begun = performance.now();
      const wide = owner.ask({ method: "heartbeat", params: { stats } });
      await neighbour.call("organization.get");
      assertError(await wide, "invalid_request");
      assert.ok(performance.now() - begun < 3_000, `${Math.round(performance.now() - begun)} ms`);
    }
    const wrong = { method: "heartbeats", params: { n: 1, chs: Array(49_000).fill("x") } };
    const answer = await owner.ask(wrong);
    assertError(answer, "invalid_params");
    assert.ok(answer.error.data.issues.length <= 20, "an answer does not grow with the mistake");
  }
});

test("thousands of bad frames leave no memory behind", async (t) => {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const server = await startTestServer(t);
  const wire = await server.wire();
  const round = async (count: number) => {
    for (let i = 0; i < count; i++) {
      wire.sendRaw(
        `{"id":"${i}","method":"${randomUUID()}","params":{"${randomUUID()}":"${"x".repeat(500)}"}}`,
      );
      wire.sendRaw(`{"id":${i},"method":"agent.get","params":{"agent_id":"${randomUUID()}${randomUUID()}"}}`);
      wire.sendRaw(`{"id":"server-${i}","result":{}}`);
      wire.sendRaw(`[${randomUUID()}`);
      wire.sendRaw(`{"method":"heartbeat","params":{"n":1,"ch":${i}}}`);
      wire.sendRaw(`{"id":"s${i}","method":"subscribe","params":{"topic":"agents:agent:${randomUUID()}"}}`);
      if (i % 8 === 0) await wire.ask({ method: "nothing" });
      // Who sends rubbish all the time is closed.
      if (i % 500 === 0) server.clock.advance(1_001);
    }
    await wire.ask({ method: "nothing" });
    wire.received.length = 0;
    collect();
    return process.memoryUsage().heapUsed;
  };
  await round(500);
  const before = await round(500);
  const after = await round(4_000);
  assert.ok(after - before < 6_000_000, `the heap grew by ${after - before} bytes over 24,000 frames`);
  await assertLives(server, wire);
});
