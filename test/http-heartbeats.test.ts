import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

/** Posts a body as it is, and reads the answer. */
async function post(server: TestServer, path: string, headers: Record<string, string>, body?: string) {
  const answer = await fetch(`${server.url}${path}`, { method: "POST", headers, body: body ?? null });
  const read: Message = await answer.json();
  return { status: answer.status, body: read, headers: answer.headers };
}

async function withAgent(server: TestServer) {
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Curl", board_id: board.id });
  const seen = async () => (await owner.call("agent.get", { agent_id: agent.id })).agent;
  return { owner, board, agent, asAgent: { "x-agent-token": token }, token, seen };
}

test("an agent beats at every path there is for it, with a body or without", async (t) => {
  const server = await startTestServer(t);
  const { agent, asAgent, seen } = await withAgent(server);
  for (const path of [
    "/api/v1/agent/heartbeat",
    "/api/v1/agents/heartbeat",
    `/api/v1/agents/${agent.id}/heartbeat`,
    `/api/v1/agents/${agent.id.toUpperCase()}/heartbeat`,
  ])
    for (const body of [
      undefined,
      "",
      "{}",
      "null",
      '{"name":"Someone else","board_id":"no id","status":"online"}',
    ]) {
      await server.clock.advance(1_000);
      const answer = await post(server, path, asAgent, body);
      assert.deepEqual(
        [answer.status, answer.body.id, answer.body.status],
        [200, agent.id, "online"],
        `${path} ${body}`,
      );
      assert.equal((await seen()).last_seen_at, new Date(server.clock.now()).toISOString());
    }
});

test("B9 over HTTP only what can be read is taken, and life counts either way", async (t) => {
  const server = await startTestServer(t);
  const { asAgent, seen } = await withAgent(server);
  const said = async (body: unknown) => {
    await server.clock.advance(1_000);
    const answer = await post(server, "/api/v1/agent/heartbeat", asAgent, JSON.stringify(body));
    assert.equal(answer.status, 200, JSON.stringify([body, answer.body]));
    const { status, reported, last_seen_at } = await seen();
    assert.equal(last_seen_at, new Date(server.clock.now()).toISOString(), JSON.stringify(body));
    return { status, reported };
  };
  const idle = { status: "online", reported: { activity: "idle" } };
  assert.deepEqual(await said({ status: "idle", mood: "fine", constructor: 1, "\ud800": [] }), idle);
  for (const activity of ["busy", "blocked", "idle"])
    assert.deepEqual((await said({ status: activity })).reported, { activity });
  for (const status of [null, "", "working hard", "ONLINE", "updating", 5, true, {}, []])
    assert.deepEqual(await said({ status }), idle, JSON.stringify(status));
  assert.deepEqual(await said({ activity: null, stats: null }), idle);
  assert.deepEqual(await said({ activity: "dreaming" }), idle);
  assert.deepEqual((await said({ status: "busy", activity: "blocked" })).reported, { activity: "blocked" });
  assert.deepEqual((await said({ status: "offline", activity: "idle" })).status, "offline");
  assert.equal((await said({ status: "busy" })).status, "online");
});

test("what is refused is told with its fields, and the agent that asked lives all the same", async (t) => {
  const server = await startTestServer(t);
  const { asAgent, owner, board, seen } = await withAgent(server);
  const { agent: other } = await owner.call("agent.create", { name: "Other", board_id: board.id });
  const cases: [path: string, body: string, status: number, words: RegExp][] = [
    ["/api/v1/agent/heartbeat", "{", 422, /not valid JSON/],
    ["/api/v1/agent/heartbeat", "[]", 422, /object/],
    ["/api/v1/agent/heartbeat", '"online"', 422, /object/],
    ["/api/v1/agent/heartbeat", '{"stats":[]}', 422, /stats: must be an object/],
    ["/api/v1/agent/heartbeat", `{"stats":{"a":"${"x".repeat(5_000)}"}}`, 422, /4096 bytes/],
    [`/api/v1/agents/${other.id}/heartbeat`, "{}", 403, /./],
    ["/api/v1/agents/no-id/heartbeat", "{}", 422, /agent_id: must be an id/],
    [`/api/v1/agents/${randomUUID()}/heartbeat`, "{}", 403, /./],
    ["/api/v1/agent/heartbeat", "x".repeat(70_000), 413, /65536/],
  ];
  for (const [path, body, status, words] of cases) {
    await server.clock.advance(1_000);
    const answer = await post(server, path, { ...asAgent, "x-request-id": "try.1" }, body);
    assert.equal(answer.status, status, `${path} ${body.slice(0, 50)} ${JSON.stringify(answer.body)}`);
    assert.match(answer.body.detail, words);
    assert.deepEqual([answer.body.request_id, answer.headers.get("x-request-id")], ["try.1", "try.1"]);
    if (status === 422 && path.includes("no-id")) assert.equal(answer.body.issues[0].path, "agent_id");
    const now = new Date(server.clock.now()).toISOString();
    await until(async () => (await seen()).last_seen_at === now, {
      what: `${path} ${body.slice(0, 50)} to be seen`,
    });
  }
});

test("an admin beats for an agent by its id; nobody finds another organization's", async (t) => {
  const server = await startTestServer(t);
  const { agent } = await withAgent(server);
  const path = `/api/v1/agents/${agent.id}/heartbeat`;
  const asUser = { authorization: `Bearer ${server.organization.token}` };
  const answer = await post(server, path, asUser, '{"name":"ignored","status":"busy"}');
  assert.deepEqual([answer.status, answer.body.id, answer.body.status], [200, agent.id, "online"]);
  const neighbours = await server.addOrganization("Neighbours");
  const foreign = await post(server, path, { authorization: `Bearer ${neighbours.token}` }, "{}");
  assert.equal(foreign.status, 404);
  assert.equal((await post(server, `/api/v1/agents/${randomUUID()}/heartbeat`, asUser)).status, 404);
});

test("an empty X-Agent-Token counts as none, one that is not decides", async (t) => {
  const server = await startTestServer(t);
  const { agent, token, board } = await withAgent(server);
  const path = "/api/v1/agent/heartbeat";
  const bearer = (of: string) => ({ authorization: `Bearer ${of}` });
  for (const headers of [
    { "x-agent-token": "", ...bearer(token) },
    { "x-agent-token": "  ", ...bearer(token) },
    bearer(token),
    { "x-agent-token": token, ...bearer(server.organization.token) },
  ])
    assert.equal((await post(server, path, headers)).body.id, agent.id, JSON.stringify(headers));
  const user = { "x-agent-token": "", ...bearer(server.organization.token) };
  const named = await post(server, path, user, JSON.stringify({ name: "curl", board_id: board.id }));
  assert.deepEqual([named.status, named.body.id], [200, agent.id]);
  const bad: Record<string, string>[] = [
    {},
    { "x-agent-token": "" },
    { "x-agent-token": "wrong", ...bearer(token) },
  ];
  for (const headers of bad)
    assert.equal((await post(server, path, headers)).status, 401, JSON.stringify(headers));
});
