import assert from "node:assert/strict";
import { test } from "node:test";
import { comeOnline, create, read, update } from "./support/agents.ts";
import { until } from "./support/await.ts";
import { FakeDriver, managedBoard } from "./support/fake-driver.ts";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";

test("carrying out updates", async (t) => {
  const gateway = new FakeDriver();
  const server = await startTestServer(t, { drivers: (usual) => ({ ...usual, openclaw: gateway }) });
  const owner = await server.wire();
  const { board } = await managedBoard(owner);

  await t.test(
    "P17 an update goes updating, rotates the token, reprovisions, and is online again",
    async () => {
      const agent = await create(owner, board, "Updated");
      const self = await comeOnline(server, gateway, agent);
      const before = gateway.tokens.get(agent.id) ?? "";
      const watcher = await server.wire({ codec: "msgpack" });
      await watcher.call("subscribe", { topic: "agents" });
      const held = gateway.hold("roster");
      const { agent: begun } = await update(owner, agent, { soul_template: "Be brief." });
      assert.equal(begun.status, "updating");
      await held.reached();
      await watcher.pushed(agent.id, "updating", (a) => a.status === "updating");
      assert.equal((await self.call("heartbeat")).agent.status, "updating");
      held.release();
      const { version } = await watcher.pushed(
        agent.id,
        "online",
        (a) => a.status === "online" && a.version > begun.version,
      );
      assert.ok(version > begun.version);
      const fresh = gateway.tokens.get(agent.id) ?? "";
      assert.notEqual(fresh, before);
      assert.deepEqual(
        gateway.calls
          .filter((call) => call.agentId === agent.id)
          .slice(4)
          .map(({ step, action, force }) => [step, action, force]),
        [
          ["session", "update", false],
          ["roster", "update", false],
          ["files", "update", false],
          ["wake", "update", false],
        ],
      );
      const rows = await server.database`select type from activity where agent_id = ${agent.id} order by seq`;
      const types = rows.map(({ type }) => type);
      assert.equal(types.filter((type) => type === "agent.wakeup.sent").length, 2);
      assert.ok(types.includes("agent.update.direct"));
    },
  );

  await t.test("B7 the old token stays good until the new one is used", async () => {
    const agent = await create(owner, board, "Keyholder");
    const self = await comeOnline(server, gateway, agent);
    const old = gateway.tokens.get(agent.id) ?? "";
    await update(owner, agent, { soul_template: "New." });
    const config = await self.next("its configuration", (m) => m.method === "config");
    const again = await server.wire({ token: old });
    assert.equal((await self.next("the end", (m) => m.method === "detached")).params.reason, "superseded");
    assert.equal(config.params.token, gateway.tokens.get(agent.id));
    const fresh = await server.wire({ token: config.params.token });
    assert.equal((await again.closing()).code, 4403);
    assert.equal((await fresh.call("heartbeat")).agent.status, "online");
    const late = await server.connect();
    await refused(late.hello(old), "unauthenticated");
    assert.equal((await late.closing()).code, 4401);
  });

  await t.test("B7 a connected agent is told its configuration, and its answer shows", async () => {
    const agent = await create(owner, board, "Listener");
    const self = await comeOnline(server, gateway, agent);
    await update(owner, agent, { name: "Good listener" });
    const first = await self.next("its configuration", (m) => m.method === "config");
    const { hash } = first.params;
    assert.equal(first.params.agent.name, "Good listener");
    assert.match(hash, /^[0-9a-f]{64}$/);
    self.send({ jsonrpc: "2.0", id: first.id, result: { applied: hash } });
    await until(async () => (await read(owner, agent)).reported?.config?.applied === true, {
      what: "the answer to show",
    });
    assert.deepEqual((await read(owner, agent)).reported.config, { hash, applied: true });
    const from = self.received.length;
    await update(owner, agent, { name: "Bad listener" });
    const second = await self.next("the next one", (m) => m.method === "config", from);
    assert.notEqual(second.params.hash, hash);
    self.send({ jsonrpc: "2.0", id: second.id, error: { code: -32603, message: "no room left" } });
    const shown = await until(
      async () => {
        const now = await read(owner, agent);
        return now.last_error !== null && now.reported.config.applied === false && now;
      },
      { what: "why not to show" },
    );
    assert.match(shown.last_error, /no room left/);
    assert.match(shown.reported.config.error, /no room left/);
  });

  await t.test("P17 the gateway's refusal is told, and B7 the agent is what its last_seen says", async () => {
    const agent = await create(owner, board, "Refused");
    const self = await comeOnline(server, gateway, agent);
    gateway.fail("roster", "config is locked");
    await refused(
      update(owner, agent, { soul_template: "x", wait: true }),
      "gateway_failed",
      "Gateway update failed: config is locked",
    );
    const after = await read(owner, agent);
    assert.deepEqual([after.status, after.last_error], ["online", "config is locked"]);
    const { items } = await owner.call("activity.list", { agent_id: agent.id, type: "agent.update.failed" });
    assert.match(items[0].message, /config is locked/);
    assert.equal(self.closed, undefined);
    const old = gateway.tokens.get(agent.id) ?? "";
    assert.equal((await (await server.wire({ token: old })).call("heartbeat")).agent.id, agent.id);
    const never = await create(owner, board, "Never seen");
    gateway.fail("session", "no");
    await refused(update(owner, never, { soul_template: "x", wait: true }), "gateway_failed");
    assert.equal((await read(owner, never)).status, "provisioning");
  });

  await t.test("B7 a gateway that stays away does not strand an agent in updating", async () => {
    const agent = await create(owner, board, "Stranded");
    await comeOnline(server, gateway, agent);
    gateway.fail("session", "connection refused", { transient: true, times: 6 });
    const from = gateway.calls.length;
    await update(owner, agent, { soul_template: "x" });
    for (let tries = 1; tries < 6; tries++) {
      await until(
        async () => {
          const [row] = await server.database`
          select 1 from agents where id = ${agent.id} and work_state = 'waiting' and provision_attempt = ${tries}`;
          return row !== undefined;
        },
        { what: `try ${tries} to have failed` },
      );
      server.clock.advance(60_000);
    }
    const after = await until(
      async () => {
        const now = await read(owner, agent);
        return now.status !== "updating" && now;
      },
      { what: "the end of updating" },
    );
    assert.deepEqual([after.status, after.last_error], ["online", "connection refused"]);
    assert.deepEqual(gateway.stepsOf(agent.id, from), Array(6).fill("session"));
  });

  await t.test("P17 a direct agent keeps its token and its status", async () => {
    const own = await server.board(owner);
    const { agent, token } = await owner.call("agent.create", { name: "Direct", board_id: own.board.id });
    const self = await server.wire({ token });
    await self.call("heartbeat");
    const { agent: after } = await update(owner, agent, { name: "More direct", wait: true });
    assert.equal(after.status, "online");
    const config = await self.next("its configuration", (m) => m.method === "config");
    assert.equal(config.params.token, undefined);
    assert.equal((await (await server.wire({ token })).call("heartbeat")).agent.name, "More direct");
  });

  await t.test("P17 an update of an agent that is being deleted is refused", async () => {
    const agent = await create(owner, board, "Leaving");
    const held = gateway.hold("unroster");
    await owner.call("agent.delete", { agent_id: agent.id });
    await held.reached();
    await refused(update(owner, agent, { name: "Staying" }), "conflict", /being deleted/);
    held.release();
    await gateway.called("cleanUp", agent.id);
  });

  await t.test(
    "B7 the server stops although agents have not said what became of their configurations",
    async () => {
      const agent = await create(owner, board, "Silent");
      const self = await comeOnline(server, gateway, agent);
      for (const name of ["Silent 1", "Silent 2", "Silent 3"])
        await update(owner, agent, { name, wait: true });
      await self.next("the last configuration", (m) => m.params?.agent?.name === "Silent 3");
      await server.restart();
      assert.equal((await self.closing()).code, 1001);
    },
  );
});
