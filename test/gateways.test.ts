import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { create, enter, isWoken, whileTimePasses } from "./support/openclaw-stand.ts";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

/** What was pushed on a topic so far. */
const pushedOn = (wire: Wire, topic: string): Message[] =>
  wire.received
    .filter(({ method, params }) => method === "change" && params.topic === topic)
    .flatMap(({ params }) => params.upserts);

test("gateway.import takes over what the gateway has, and tells why it leaves the rest", async (t) => {
  const stand = await enter(t, "new");
  const { gateway, gatewayId, boardId, wire } = stand;
  const ada = await create(stand, "Ada");
  await isWoken(stand, ada.id);
  for (const id of ["scribe", "clerk", "twin"])
    gateway.state.create({ name: id, workspace: `/elsewhere/${id}` });
  gateway.state.update({ agentId: "scribe", name: "The Scribe", heartbeat: { every: "7m", target: "last" } });
  gateway.state.update({ agentId: "twin", name: "ADA" });
  const before = gateway.state.effects.length;

  const { imported, skipped } = await wire.call("gateway.import", {
    gateway_id: gatewayId,
    board_id: boardId,
  });
  assert.deepEqual(
    imported.map((agent: Message) => [agent.name, agent.openclaw_session_id, agent.heartbeat_config]).sort(),
    [
      ["The Scribe", "agent:scribe:main", { every: "7m", target: "last" }],
      ["clerk", "agent:clerk:main", { every: "10m", target: "none" }],
    ],
  );
  assert.deepEqual(skipped, [
    { id: "twin", name: "ADA", reason: "An agent with this name already exists on this board." },
  ]);
  const again = await wire.call("gateway.import", {
    gateway_id: gatewayId,
    board_id: boardId,
    agent_ids: ["main", "scribe", "nobody", "nobody"],
  });
  assert.deepEqual(
    again.imported.map((agent: Message) => agent.openclaw_session_id),
    ["agent:main:main"],
  );
  assert.deepEqual(
    again.skipped.map(({ id, reason }: Message) => [id, reason]),
    [
      ["nobody", "The gateway has no such agent."],
      ["scribe", "It is here already."],
    ],
  );
  assert.deepEqual(gateway.state.effects.slice(before), [], "nothing was done to the gateway");
});

test("gateway.import knows a main agent by its session, whatever its name", async (t) => {
  const stand = await enter(t, "new", { settings: { main_session_key: "agent:scribe:desk" } });
  const { gateway, gatewayId, boardId, wire } = stand;
  gateway.state.create({ name: "scribe", workspace: "/elsewhere/scribe" });
  const ada = await create(stand, "Ada");
  await isWoken(stand, ada.id);
  await wire.call("agent.update", { agent_id: ada.id, is_gateway_main: true });
  await isWoken(stand, ada.id, 2);
  assert.deepEqual([...gateway.state.roster.keys()], ["main", "scribe"], "what it was has gone");
  const named = { gateway_id: gatewayId, board_id: boardId, agent_ids: ["scribe"] };
  assert.deepEqual(await wire.call("gateway.import", named), {
    imported: [],
    skipped: [{ id: "scribe", name: "Ada", reason: "It is here already." }],
  });
});

test("gateway.import and gateway.diff are for gateways with agents of their own", async (t) => {
  const stand = await enter(t, "new");
  const { gateway, gatewayId, boardId, server, wire } = stand;
  const other = await server.board(wire);
  for (const method of ["gateway.import", "gateway.diff"])
    await refused(
      wire.call(method, {
        gateway_id: other.gateway.id,
        ...(method === "gateway.import" ? { board_id: other.board.id } : {}),
      }),
      "unprocessable",
      /kind direct/,
    );
  const elsewhere = { gateway_id: gatewayId, board_id: other.board.id };
  await refused(wire.call("gateway.import", elsewhere), "unprocessable", /must be on the gateway/);
  gateway.fault("agents.list", { error: { code: "INVALID_REQUEST", message: "no list today" } });
  await refused(
    wire.call("gateway.import", { gateway_id: gatewayId, board_id: boardId }),
    "gateway_failed",
    /no list today/,
  );
});

test("gateway.diff says so when a main agent's session names no agent of the gateway", async (t) => {
  const stand = await enter(t, "new", { settings: { main_session_key: "desk" } });
  const { gatewayId, wire } = stand;
  const ada = await create(stand, "Ada");
  await isWoken(stand, ada.id);
  await wire.call("agent.update", { agent_id: ada.id, is_gateway_main: true });
  await refused(
    wire.call("gateway.diff", { gateway_id: gatewayId }),
    "gateway_failed",
    /main_session_key desk/,
  );
});

test("gateway.status counts agents, and gateway.retry goes on with all that were given up", async (t) => {
  const stand = await enter(t, "new");
  const { gateway, gatewayId, wire } = stand;
  const refusal = { error: { code: "INVALID_REQUEST", message: "no room" } };
  gateway.fault("agents.create", refusal, { times: 2 });
  const agents = [await create(stand, "Ada"), await create(stand, "Bob")];
  const status = () => wire.call("gateway.status", { gateway_id: gatewayId });
  await until(async () => (await status()).failed === 2, { what: "both to be given up" });
  const { link, agents: counts } = await status();
  assert.equal(link.state, "ready");
  assert.deepEqual(counts, { provisioning: 2, online: 0, updating: 0, deleting: 0, offline: 0 });
  assert.deepEqual(await wire.call("gateway.retry", { gateway_id: gatewayId }), { retried: 2 });
  for (const agent of agents) await isWoken(stand, agent.id);
  assert.equal((await status()).failed, 0);
  assert.deepEqual(await wire.call("gateway.retry", { gateway_id: gatewayId }), { retried: 0 });
});

test("a gateway without a link has a status too", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.wire();
  const { gateway } = await server.board(wire);
  assert.equal((await wire.call("gateway.status", { gateway_id: gateway.id })).link, null);
  assert.deepEqual(await wire.call("gateway.retry", { gateway_id: gateway.id }), { retried: 0 });
});

test("agent.message goes once for its key, and is refused where there is no chat", async (t) => {
  const stand = await enter(t, "new");
  const { gateway, server, wire } = stand;
  const ada = await create(stand, "Ada");
  await isWoken(stand, ada.id);
  const message = { agent_id: ada.id, text: "How goes it?", idempotency_key: randomUUID() };
  const first = await wire.call("agent.message", message);
  assert.deepEqual(await wire.call("agent.message", message), first);
  assert.equal([...gateway.state.runs.values()].filter((run) => run.message === message.text).length, 1);
  assert.equal(gateway.state.runs.get(first.run_id)?.sessionKey, "agent:ada:main");

  gateway.fault("chat.send", { error: { code: "INVALID_REQUEST", message: "not in the mood" } });
  await refused(
    wire.call("agent.message", { agent_id: ada.id, text: "And now?" }),
    "gateway_failed",
    /not in the mood/,
  );
  await refused(wire.call("agent.message", { agent_id: ada.id, text: "  " }), "invalid_params");

  // A failure is not kept: the same key again is another try.
  const again = { agent_id: ada.id, text: "Once more?", idempotency_key: randomUUID() };
  gateway.fault("chat.send", { error: { code: "UNAVAILABLE", message: "busy" } });
  await refused(wire.call("agent.message", again), "gateway_failed", /busy/);
  gateway.fault("chat.send", "restart-before");
  await refused(wire.call("agent.message", again), "gateway_failed", /restarting/);
  const twice = [wire.call("agent.message", again), wire.call("agent.message", again)];
  await whileTimePasses(
    stand,
    "the message",
    () => [...gateway.state.runs.values()].at(-1)?.message === again.text,
  );
  const [one, other] = await Promise.all(twice);
  assert.deepEqual(one, other);
  assert.deepEqual(await wire.call("agent.message", again), one);
  assert.equal([...gateway.state.runs.values()].filter((run) => run.message === again.text).length, 1);
  const { board } = await server.board(wire);
  const { agent } = await wire.call("agent.create", { name: "Curl", board_id: board.id });
  await refused(
    wire.call("agent.message", { agent_id: agent.id, text: "Hello?" }),
    "unprocessable",
    /kind direct has no chat/,
  );
});

test("the topics of links show one's own, and end with their gateway", async (t) => {
  const { gatewayId, boardId, server, wire } = await enter(t, "new");
  const { link } = await until(
    async () => {
      const status = await wire.call("gateway.status", { gateway_id: gatewayId });
      return status.link.state === "ready" && status;
    },
    { what: "the link" },
  );
  const { gateway: unlinked } = await server.board(wire);
  const topic = `gateways:gateway:${gatewayId}`;
  const ids = ({ items }: Message) => items.map(({ id }: Message) => id);
  assert.deepEqual(ids(await wire.call("subscribe", { topic: "gateways" })), [link.id]);
  assert.deepEqual(ids(await wire.call("subscribe", { topic })), [gatewayId]);
  assert.deepEqual(ids(await wire.call("subscribe", { topic: `gateways:gateway:${unlinked.id}` })), []);
  const { token } = await server.addOrganization("Others");
  const stranger = await server.wire({ token });
  assert.deepEqual(ids(await stranger.call("subscribe", { topic: "gateways" })), []);
  await refused(stranger.call("subscribe", { topic }), "not_found");

  await wire.call("board.delete", { board_id: boardId });
  await wire.call("gateway.delete", { gateway_id: gatewayId });
  const end = await wire.next("the end", ({ method, params }) => method === "end" && params.topic === topic);
  assert.equal(end.params.reason, "deleted");
  assert.deepEqual(ids(await wire.call("subscribe", { topic: "gateways" })), []);
  assert.equal(JSON.stringify(stranger.received).includes(gatewayId), false);
});

test("a chat's deltas of one instant are the last, other entries are all there, and it ends with the agent", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.wire();
  const { board } = await server.board(wire);
  const { agent } = await wire.call("agent.create", { name: "Curl", board_id: board.id });
  const topic = `chat:agent:${agent.id}`;
  assert.deepEqual((await wire.call("subscribe", { topic })).items, []);
  const at = new Date(server.clock.now()).toISOString();
  const said = (run_id: string, kind: "sent" | "delta" | "final", text: string) =>
    server.services.hub.chatted(server.organization.id, { agent_id: agent.id, run_id, kind, text, at });
  said("one", "sent", "Well?");
  said("one", "delta", "A");
  said("one", "delta", "Aye");
  said("two", "delta", "No");
  said("one", "final", "Aye.");
  await until(() => pushedOn(wire, topic).length >= 4, { what: "what was said" });
  assert.deepEqual(
    pushedOn(wire, topic).map(({ run_id, kind, text }) => [run_id, kind, text]),
    [
      ["one", "sent", "Well?"],
      ["one", "delta", "Aye"],
      ["two", "delta", "No"],
      ["one", "final", "Aye."],
    ],
  );
  await wire.call("agent.delete", { agent_id: agent.id, wait: true });
  await wire.next("the end", ({ method, params }) => method === "end" && params.topic === topic);
});
