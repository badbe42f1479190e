import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { refused } from "../support/refused.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import type { Message, Wire } from "../support/wire.ts";

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** An answer without what is random: how long a cursor is may tell something, what an id is may not. */
function masked(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, inner) => {
      if (key === "next_cursor" && inner !== null) return `${String(inner).length} characters`;
      // Up to a tenth shorter by chance.
      if (key === "every_ms") return inner > 27_000 && inner <= 30_000;
      return inner;
    })
      .replace(UUID, "<id>")
      .replace(/mst_\w+?_[0-9a-f]{24}_[\w-]{43}/g, "<token>")
      .replace(/"id":"[0-9a-f]{24}"/g, '"id":"<id>"'),
  );
}

/** Somebody else's busy day. */
async function beBusy(wire: Wire, board: Message, host: Wire, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const title = `Chore ${round}`;
    await wire.call("task.create", { board_id: board.id, title });
    const { token, agent } = await wire.call("agent.create", {
      name: `Agent ${Math.random()}`,
      board_id: board.id,
    });
    const { ch } = await host.call("agent.attach", { token });
    await host.call("heartbeat", { ch });
    await wire.call("agent.command", { agent_id: agent.id, name: "look", delivery: "queued" });
  }
}

/** All that an organization is answered over its own day, while another one does more or less. */
async function dayBeside(t: TestContext, rounds: number): Promise<unknown[]> {
  const server = await startTestServer(t, { environment: { MUSTER_HEARTBEAT_EVENTS: "every" } });
  const others = await server.addOrganization("Others");
  const they = await server.wire({ token: others.token });
  const theirs = await server.board(they);
  const theirHost = await server.wire({ token: null });
  const answers: unknown[] = [];
  const wire = await server.connect();
  const ask = async (on: Wire, method: string, params: object = {}): Promise<Message> => {
    await beBusy(they, theirs.board, theirHost, rounds);
    // Things of the same millisecond are listed in no order.
    server.clock.advance(1_000);
    const answer = await on.call(method, params);
    answers.push(method, masked(answer));
    return answer;
  };
  await ask(wire, "hello", { token: server.organization.token });
  const { gateway } = await ask(wire, "gateway.create", { name: "Ours", kind: "direct" });
  const { board } = await ask(wire, "board.create", { name: "Ours", gateway_id: gateway.id });
  const host = await server.wire({ token: null });
  for (const name of ["One", "Other", "Third"]) {
    const heartbeat_config = { every: "30s" };
    const made = await ask(wire, "agent.create", { name, board_id: board.id, heartbeat_config });
    const { ch } = await ask(host, "agent.attach", { token: made.token });
    await ask(host, "heartbeat", { ch, activity: "busy" });
    const order = { agent_id: made.agent.id, name: "look", delivery: "queued" };
    await ask(wire, "agent.command", order);
    await ask(wire, "task.create", { board_id: board.id, title: name });
    await ask(wire, "enrolment.create", { board_id: board.id });
    await ask(wire, "user_token.create", { name });
  }
  const lists = ["activity", "agent", "task", "board", "gateway", "enrolment", "user_token"];
  for (const list of lists) {
    await ask(wire, `${list}.list`);
    await ask(wire, `${list}.list`, { limit: 1 });
  }
  await ask(wire, "subscribe", { topic: "agents" });
  await ask(wire, "subscribe", { topic: "activity" });
  return answers;
}

test("P24 what an organization is answered is the same whatever others do", async (t) => {
  const alone = await dayBeside(t, 0);
  assert.deepEqual(await dayBeside(t, 2), alone);
});

/** Every list with a cursor to its second page, in an organization of its own. */
async function cursorsOf(server: TestServer, token: string): Promise<[method: string, params: object][]> {
  const wire = await server.wire({ token });
  const { board } = await server.board(wire);
  await server.board(wire);
  const agents: Message[] = [];
  for (const name of ["One", "Other"]) {
    agents.push(await wire.call("agent.create", { name, board_id: board.id }));
    await wire.call("task.create", { board_id: board.id, title: name });
    await wire.call("enrolment.create", { board_id: board.id });
    await wire.call("user_token.create", { name });
  }
  const agent_id = agents[0].agent.id;
  for (const name of ["look", "leap"])
    await wire.call("agent.command", { agent_id, name, delivery: "queued" });
  const asked: [string, object][] = [
    ["activity.list", {}],
    ["agent.list", {}],
    ["task.list", {}],
    ["board.list", {}],
    ["gateway.list", {}],
    ["enrolment.list", {}],
    ["user_token.list", {}],
    ["command.list", { agent_id }],
  ];
  const found: [string, object][] = [];
  for (const [method, params] of asked) {
    const { next_cursor } = await wire.call(method, { ...params, limit: 1 });
    assert.ok(next_cursor.length <= 200, `${method}: ${next_cursor}`);
    found.push([method, { ...params, limit: 1, cursor: next_cursor }]);
  }
  return found;
}

test("P24 a cursor is good in its own list of its own organization only, and says nothing", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.wire();
  const ours = await cursorsOf(server, server.organization.token);
  const theirs = await cursorsOf(server, (await server.addOrganization("Others")).token);
  const noCursor = /next_cursor that an earlier page of this list gave/;
  const cursorOf = (params: object | undefined): string =>
    params !== undefined && "cursor" in params ? String(params.cursor) : "";
  for (const [position, [method, params]] of ours.entries()) {
    const ask = (cursor: string) => wire.call(method, { ...params, cursor });
    const cursor = cursorOf(params);
    assert.equal((await ask(cursor)).items.length, 1, method);
    await refused(ask(cursorOf(theirs[position]?.[1])), "invalid_params", noCursor);
    await refused(ask(cursorOf(ours[(position + 1) % ours.length]?.[1])), "invalid_params", noCursor);
    for (const changed of [cursor.slice(1), `${cursor}AAAA`, `A${cursor.slice(1)}`, cursor.slice(0, -4)])
      if (changed !== cursor) await refused(ask(changed), "invalid_params", noCursor);
    const plain = Buffer.from(cursor, "base64url").toString("latin1");
    assert.doesNotMatch(plain, /\d{4}-\d\d|[0-9a-f]{8}-|0{6}/, method);
  }
});

test("P24 the ids of heartbeats' events do not tell how many of others' came between", async (t) => {
  const server = await startTestServer(t, {
    environment: { MUSTER_HEARTBEAT_EVENTS: "every", MUSTER_COMMIT_INTERVAL: "50ms" },
  });
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const host = await server.wire({ token: null });
  const chs: number[] = [];
  for (let n = 0; n < 20; n++) {
    const { token } = await owner.call("agent.create", { name: `Agent ${n}`, board_id: board.id });
    const { ch } = await host.call("agent.attach", { token });
    await host.call("heartbeat", { ch });
    chs.push(ch);
  }
  host.notify("heartbeats", { n: 1, chs });
  await host.next("the beats to be committed", ({ method }) => method === "ack");
  const { items } = await owner.call("activity.list", { type: "agent.heartbeat", limit: 500 });
  const ids: string[] = items.map(({ id }: Message) => id);
  assert.ok(ids.length >= 20);
  assert.equal(new Set(ids.map((id) => id.slice(0, 8))).size, ids.length, "none begin alike");
  assert.equal(new Set(ids.map((id) => id.slice(24))).size, ids.length, "none end alike");
  assert.ok(ids.every((id) => !id.slice(24).startsWith("00000000")));
});
