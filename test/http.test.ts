import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

test("HTTP on the same port", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Curl", board_id: board.id });
  const get = (path: string) => fetch(`${server.url}${path}`);
  const beat = async (
    headers: Record<string, string>,
    body?: string | object,
  ): Promise<{ status: number; body: Message; type: string | null }> => {
    const init = { method: "POST", headers: { "content-type": "application/json", ...headers } };
    const text = typeof body === "object" ? JSON.stringify(body) : body;
    const answer = await fetch(
      `${server.url}/api/v1/agents/heartbeat`,
      text === undefined ? init : { ...init, body: text },
    );
    return { status: answer.status, body: await answer.json(), type: answer.headers.get("content-type") };
  };
  const asAgent = { "x-agent-token": token };
  const asUser = { authorization: `Bearer ${server.organization.token}` };

  await t.test("the server says that it lives and that it is ready", async () => {
    for (const [path, said] of [
      ["/healthz", { ok: true, status: "ok" }],
      ["/readyz", { status: "ready" }],
    ] as const) {
      const answer = await get(path);
      assert.deepEqual([answer.status, await answer.json()], [200, said]);
    }
  });

  await t.test("P3 an agent heartbeats with its token; the answer is the agent", async () => {
    const answer = await beat(asAgent, { status: "online", activity: "idle", stats: { load: 2 } });
    assert.equal(answer.status, 200);
    assert.match(answer.type ?? "", /^application\/json/);
    assert.deepEqual([answer.body.id, answer.body.status], [agent.id, "online"]);
    const { agent: shown } = await owner.call("agent.get", { agent_id: agent.id });
    assert.deepEqual(shown.reported, { status: "online", activity: "idle", stats: { load: 2 } });
    assert.equal(shown.last_seen_at, new Date(server.clock.now()).toISOString());
    assert.equal((await beat(asAgent)).status, 200);
    assert.equal((await beat(asAgent, { status: "offline" })).body.status, "offline");
  });

  await t.test("P19 its token means that agent, whatever name it gives", async () => {
    const answer = await beat(asAgent, { name: "Someone else", board_id: board.id });
    assert.deepEqual([answer.status, answer.body.id], [200, agent.id]);
  });

  await t.test("P19 a user's token finds the agent by name or creates it", async () => {
    const found = await beat(asUser, { name: "CURL", board_id: board.id });
    assert.deepEqual([found.status, found.body.id, found.body.status], [200, agent.id, "online"]);
    const made = await beat(asUser, { name: "Wget", board_id: board.id });
    assert.deepEqual([made.status, made.body.name, made.body.status], [200, "Wget", "online"]);
    assert.equal(made.body.token, undefined);
  });

  await t.test("errors are a detail with the status of the wire's table", async () => {
    const cases: [Record<string, string>, string | object | undefined, number, RegExp][] = [
      [{}, {}, 401, /X-Agent-Token/],
      [{ "x-agent-token": "nonsense" }, {}, 401, /token/],
      [{ authorization: "Basic abc" }, {}, 401, /token/],
      [asAgent, { stats: { blob: "x".repeat(5_000) } }, 422, /4096 bytes/],
      [asAgent, "{", 422, /not valid JSON/],
      [asAgent, "[1]", 422, /./],
      [asUser, {}, 422, /name is required/],
      [asUser, { name: "New" }, 422, /board_id is required/],
      [asUser, { name: "New", board_id: server.organization.id }, 404, /Board not found/],
      [asAgent, "x".repeat(70_000), 413, /65536/],
    ];
    for (const [headers, body, status, words] of cases) {
      const answer = await beat(headers, body);
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      const { detail: _, request_id, issues, ...more } = answer.body;
      assert.deepEqual(more, {});
      assert.ok(request_id.length > 0);
      for (const { path, message } of issues ?? []) assert.ok(typeof path === "string" && message.length > 0);
      assert.match(answer.body.detail, words);
    }
  });

  await t.test("P24 a user's token creates nothing on another organization's board", async () => {
    const neighbours = await server.addOrganization("Neighbours");
    const answer = await beat(
      { authorization: `Bearer ${neighbours.token}` },
      { name: "Curl", board_id: board.id },
    );
    assert.deepEqual([answer.status, answer.body.detail], [404, "Board not found"]);
  });

  await t.test("what is not there and what is not possible is said so", async () => {
    const missing = await get("/nowhere");
    assert.equal(missing.status, 404);
    assert.equal(typeof ((await missing.json()) as Message).detail, "string");
    const wrong = await get("/api/v1/agents/heartbeat");
    assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "POST"]);
  });

  await t.test(
    "the figures tell sessions, agents by status, heartbeats, commits, requests and errors",
    async () => {
      const figures = async () => {
        const answer = await get("/metrics");
        assert.match(answer.headers.get("content-type") ?? "", /^text\/plain/);
        const lines = (await answer.text())
          .split("\n")
          .filter((line) => line !== "" && !line.startsWith("#"));
        return new Map(
          lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.split(" ").at(-1))]),
        );
      };
      const before = await figures();
      const self = await server.wire({ token });
      self.notify("heartbeat", { n: 1 });
      await self.next("the acknowledgement", (m) => m.method === "ack" && m.params.n === 1);
      await self.call("agent.list").catch(() => {});
      const after = await figures();
      const grown = (name: string) => (after.get(name) ?? Number.NaN) - (before.get(name) ?? 0);
      assert.equal(grown("muster_sessions"), 1);
      assert.equal(grown("muster_heartbeats_total"), 1);
      assert.ok(grown("muster_commits_total") >= 1);
      assert.ok(grown("muster_commit_duration_seconds_count") >= 1);
      assert.ok(grown("muster_frames_in_total") >= 3);
      assert.ok(grown("muster_frames_out_total") >= 3);
      assert.equal(grown('muster_requests_total{method="agent.list"}'), 1);
      assert.equal(grown('muster_errors_total{reason="forbidden"}'), 1);
      const byStatus = ["provisioning", "online", "updating", "deleting", "offline"].map(
        (status) => after.get(`muster_agents{status="${status}"}`) ?? Number.NaN,
      );
      assert.deepEqual(byStatus, [0, 2, 0, 0, 0]);
      assert.ok((before.get("muster_heartbeats_total") ?? 0) >= 3, "heartbeats over HTTP count too");
    },
  );
});
