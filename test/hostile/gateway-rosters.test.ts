import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { until } from "../support/await.ts";
import { assertShortTurns } from "../support/longest-turn.ts";
import { helloFor, ScriptedGateway } from "../support/scripted-gateway.ts";
import { seeded } from "../support/seeded.ts";
import { startTestServer } from "../support/server.ts";
import type { Message, Wire } from "../support/wire.ts";

const MANY = 300_000;

async function enter(t: TestContext) {
  const gateway = await ScriptedGateway.open(t);
  const server = await startTestServer(t);
  const wire = await server.wire();
  const made = await wire.call("gateway.create", {
    name: "Hostile",
    kind: "openclaw",
    url: gateway.url,
    token: "token-of-the-gateway",
    main_session_key: "agent:main:main",
    workspace_root: "/srv",
  });
  const gatewayId: string = made.gateway.id;
  const { board } = await wire.call("board.create", { name: "Board", gateway_id: gatewayId });
  await isReady(wire, gatewayId);
  return { gateway, server, wire, gatewayId, boardId: board.id };
}

const isReady = (wire: Wire, gatewayId: string) =>
  until(async () => (await wire.call("gateway.status", { gateway_id: gatewayId })).link?.state === "ready", {
    what: "the link",
  });

/** Has the gateway list these agents, in its answers ready to be sent. */
function list(gateway: ScriptedGateway, agents: object[], entries: object): void {
  const answers: Record<string, Buffer> = {
    "agents.list": Buffer.from(JSON.stringify({ defaultId: "main", agents })),
    "config.get": Buffer.from(JSON.stringify({ hash: "h", config: { agents: { entries } } })),
  };
  gateway.answer = ({ id, method }, peer) =>
    peer.send(
      Buffer.concat([
        Buffer.from(`{"type":"res","id":"${id}","ok":true,"payload":`),
        answers[method] ?? Buffer.from("null"),
        Buffer.from("}"),
      ]),
      { binary: false },
    );
}

test("gateway.diff and gateway.import of 300,000 agents do not hold the event loop, and say how many more there are", async (t) => {
  const { gateway, wire, gatewayId, boardId } = await enter(t);
  const ids = Array.from({ length: MANY }, (_, n) => `agent-${n}`);
  list(
    gateway,
    ids.map((id) => ({ id, name: `The ${id}`, workspace: `/srv/${id}` })),
    Object.fromEntries(ids.slice(0, 100_000).map((id) => [id, { heartbeat: { every: "10m" } }])),
  );
  let answer: Message = {};
  const ask = (method: string, params: object = {}) =>
    assertShortTurns(method, async () => {
      answer = await wire.call(method, { gateway_id: gatewayId, ...params });
      assert.ok(JSON.stringify(answer).length < 800_000, `${method}: a long answer`);
    });
  await ask("gateway.diff");
  assert.equal(answer.items.length + answer.more, MANY);
  assert.ok(answer.items.length > 1_000);
  await ask("gateway.import", { board_id: boardId });
  assert.ok(answer.imported.length >= 100 && answer.imported.length <= 600);
  assert.equal((await wire.call("agent.list", { limit: 1 })).total, MANY - answer.more);
});

test("gateway.import that is asked for again goes on where it was, to the end", async (t) => {
  const { gateway, wire, gatewayId, boardId } = await enter(t);
  list(
    gateway,
    Array.from({ length: 1_200 }, (_, n) => ({ id: `agent-${n}` })),
    {},
  );
  const counts: [number, number | undefined][] = [];
  do {
    const { imported, more } = await wire.call("gateway.import", {
      gateway_id: gatewayId,
      board_id: boardId,
    });
    counts.push([imported.length, more]);
  } while (counts.at(-1)?.[1] !== undefined && counts.length < 10);
  const sizes = counts.map(([size]) => size);
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    1_200,
  );
  assert.ok(sizes.length >= 3 && Math.max(...sizes) <= 600, `portions of ${sizes.join(", ")}`);
  assert.deepEqual((await wire.call("gateway.diff", { gateway_id: gatewayId })).more, undefined);
  assert.equal((await wire.call("agent.list", { limit: 1 })).total, 1_200);
});

test("agents that cannot be taken over keep none of the others from it", async (t) => {
  const { gateway, wire, gatewayId, boardId } = await enter(t);
  const bad = Array.from({ length: 20_000 }, (_, n) => ({ id: `Not an id ${n}`, name: "x".repeat(300) }));
  list(gateway, [...bad, { id: "good" }], {});
  const { imported, skipped, more } = await wire.call("gateway.import", {
    gateway_id: gatewayId,
    board_id: boardId,
  });
  assert.deepEqual(
    imported.map(({ name }: Message) => name),
    ["good"],
  );
  assert.equal(skipped.length + more, bad.length);
  assert.ok(JSON.stringify(skipped).length < 600_000);
});

test("what an answer may not hold is shown as text, and cut", async (t) => {
  const { gateway, wire, gatewayId, boardId } = await enter(t);
  const odd = "half \ud800, none \u0000";
  const agents = [{ id: "one", name: odd, workspace: "w".repeat(100_000) }, { id: odd.repeat(1_000) }];
  list(gateway, [{ id: "one" }], {});
  await wire.call("gateway.import", { gateway_id: gatewayId, board_id: boardId });
  const deep = JSON.parse(`${'{"a":'.repeat(20)}1${"}".repeat(20)}`);
  for (const heartbeat of [{ every: odd }, deep, { every: "x".repeat(100_000) }, { every: 1e300 }]) {
    list(gateway, agents, { one: { heartbeat } });
    const { items } = await wire.call("gateway.diff", { gateway_id: gatewayId });
    assert.deepEqual(items.map(({ kind }: Message) => kind).sort(), [
      "extra",
      "heartbeat",
      "name",
      "workspace",
    ]);
    assert.ok(JSON.stringify(items).length < 10_000);
    assert.ok(items.every(({ found }: Message) => typeof found !== "string" || found.isWellFormed()));
  }
});

test("a gateway whose answers are anything at all ends nothing but its own link", async (t) => {
  const random = seeded(t);
  const { gateway, server, wire, gatewayId, boardId } = await enter(t);
  const other = await server.addOrganization("Other");
  const bystander = await server.wire({ token: other.token });
  const words = ["", "main", "\ud800", "\u0000", "__proto__", "constructor", "x".repeat(2_000)];
  const anything = (depth = 0): unknown => {
    const pick = Math.floor(random() * (depth > 4 ? 6 : 8));
    if (pick < 2) return words[Math.floor(random() * words.length)];
    if (pick < 6) return [null, true, -1, 1e308, random(), {}][Math.floor(random() * 6)];
    const inner = Array.from({ length: Math.floor(random() * 4) }, () => anything(depth + 1));
    if (pick === 6) return inner;
    return Object.fromEntries(inner.map((value, n) => [words[n] ?? "", value]));
  };
  /** Something that looks right at first. */
  const almost = (): unknown => {
    const agents = Array.from({ length: 3 }, () => ({
      id: anything(4),
      name: anything(),
      workspace: anything(),
    }));
    return {
      defaultId: anything(),
      agents,
      hash: anything(),
      config: { agents: random() < 0.5 ? anything() : { entries: anything(), list: anything() } },
      sessions: [{ key: anything(), label: anything() }],
      messages: anything(),
      workspace: "/srv",
      file: { content: anything(), missing: anything() },
      runId: anything(),
      agentId: anything(),
      removed: anything(),
    };
  };
  gateway.answer = ({ id }, peer) => {
    const about = random() < 0.8 ? { id, type: "res" } : { id: anything(), type: anything() };
    const ok = random() < 0.8;
    const body = ok ? { payload: random() < 0.8 ? almost() : anything() } : { error: anything() };
    for (let times = random() < 0.2 ? 3 : 1; times > 0; times--)
      peer.send(JSON.stringify({ ...about, ok, ...body }));
    for (const event of ["chat", "agent", "health", "shutdown"])
      if (random() < 0.1)
        peer.send(
          JSON.stringify({
            type: "event",
            event,
            payload: { sessionKey: anything(), runId: anything(), state: "final", message: anything() },
          }),
        );
    if (random() < 0.02) peer.close(1000 + Math.floor(random() * 4), "odd \u001b");
  };
  gateway.greet = () =>
    random() < 0.8 ? helloFor() : helloFor({ protocol: anything(), server: anything(), auth: anything() });
  let made = 0;
  for (let round = 0; round < 150; round++) {
    const request = [
      ["gateway.diff", {}],
      ["gateway.import", { board_id: boardId }],
      ["gateway.retry", {}],
      ["gateway.status", {}],
    ][Math.floor(random() * 4)] ?? ["", {}];
    if (round % 10 === 0)
      await wire.call("agent.create", { name: `Agent ${made++}`, board_id: boardId }).catch(() => {});
    let isOver = false;
    const asked = wire
      .call(String(request[0]), { gateway_id: gatewayId, ...Object(request[1]) })
      .catch(() => {})
      .finally(() => {
        isOver = true;
      });
    await until(
      () => {
        if (!isOver) server.clock.advance(1_000);
        return isOver;
      },
      { what: `the end of ${request[0]}` },
    );
    await asked;
    await bystander.call("gateway.list", {});
  }
  assert.equal((await bystander.call("organization.get", {})).organization.name, "Other");
  await wire.call("gateway.delete", { gateway_id: gatewayId }).catch(() => {});
});
