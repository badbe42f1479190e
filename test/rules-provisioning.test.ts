import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { FakeDriver, managedBoard } from "./support/fake-driver.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const WAKE_DEADLINE_MS = 31_000;

async function eventsOf(server: TestServer, agentId: string): Promise<string[]> {
  const rows = await server.database<{ type: string }[]>`
    select type from activity where agent_id = ${agentId} order by seq`;
  return rows.map(({ type }) => type);
}

test("provisioning agents", async (t) => {
  const gateway = new FakeDriver();
  const server = await startTestServer(t, { drivers: (usual) => ({ ...usual, openclaw: gateway }) });
  const owner = await server.wire();
  const { board, gateway: record } = await managedBoard(owner);
  const create = (name: string, fields: object = {}) =>
    owner.call("agent.create", { name, board_id: board.id, ...fields });
  const read = async (id: string) => (await owner.call("agent.get", { agent_id: id })).agent;

  await t.test(
    "P11 a new agent is provisioned step by step with a token of which only a hash stays",
    async () => {
      const { agent, token } = await create("Steps", { wait: true });
      assert.equal(agent.status, "provisioning");
      assert.equal(token, undefined);
      assert.deepEqual(gateway.stepsOf(agent.id), ["session", "roster", "files", "wake"]);
      const { work } = await gateway.called("files", agent.id);
      assert.equal(work.agent.slug, "steps");
      assert.equal(work.gateway.workspaceRoot, record.workspace_root);
      const given = gateway.tokens.get(agent.id) ?? "";
      assert.match(given, /^mst_agent_/);
      const [row] = await server.database`
      select a.token_sealed, t.hash from agents a join agent_tokens t on t.agent_id = a.id where a.id = ${agent.id}`;
      assert.equal(row?.token_sealed, null);
      assert.equal(row?.hash.length, 32);
      assert.equal((await (await server.wire({ token: given })).call("heartbeat")).agent.status, "online");
    },
  );

  await t.test("P12 each step leaves an activity event", async () => {
    const { agent } = await create("Logged", { wait: true });
    assert.deepEqual(await eventsOf(server, agent.id), [
      "agent.created",
      "agent.session.created",
      "agent.provision",
      "agent.wakeup.sent",
    ]);
  });

  await t.test(
    "P12 a failed provisioning leaves the agent there with its error; the create has succeeded",
    async () => {
      gateway.fail("session", "no room for sessions");
      const first = (await create("Sessionless", { wait: true })).agent;
      assert.equal(first.status, "provisioning");
      assert.equal(first.last_error, "no room for sessions");
      assert.deepEqual(await eventsOf(server, first.id), ["agent.created", "agent.session.failed"]);
      gateway.fail("roster", "the list is locked");
      const second = (await create("Unlisted", { wait: true })).agent;
      assert.equal(second.last_error, "the list is locked");
      assert.ok((await eventsOf(server, second.id)).includes("agent.provision.failed"));
      assert.deepEqual(gateway.stepsOf(second.id), ["session", "roster"]);
    },
  );

  await t.test("B4 provisioning runs beside the command, and its progress is pushed", async () => {
    const watcher = await server.wire({ codec: "msgpack" });
    await watcher.call("subscribe", { topic: `agents:board:${board.id}` });
    const held = gateway.hold("roster");
    const { agent } = await create("Beside");
    assert.equal(agent.status, "provisioning");
    await held.reached();
    await watcher.pushed(agent.id, "creation", (a) => a.version >= 1);
    const { version } = await read(agent.id);
    held.release();
    await gateway.called("wake", agent.id);
    await watcher.pushed(agent.id, "progress", (a) => a.version > version);
  });

  await t.test("B4 what is transient is tried again with backoff", async () => {
    gateway.fail("files", "the disk is busy", { transient: true, times: 2 });
    const { agent } = await create("Patient");
    for (const tries of [1, 2]) {
      await until(
        async () => (await gateway.called("files", agent.id, tries)) && (await read(agent.id)).last_error,
        {
          what: "the failure to show",
        },
      );
      await until(
        async () => {
          const [row] = await server.database`
          select 1 from agents where id = ${agent.id} and work_state = 'waiting' and provision_attempt = ${tries}`;
          return row !== undefined;
        },
        { what: `try ${tries} to be over` },
      );
      assert.equal(gateway.stepsOf(agent.id).filter((step) => step === "files").length, tries);
      server.clock.advance(3_000);
    }
    await gateway.called("wake", agent.id);
    assert.deepEqual(gateway.stepsOf(agent.id), ["session", "roster", "files", "files", "files", "wake"]);
    await until(async () => (await read(agent.id)).last_error === null, { what: "the error to go" });
  });

  await t.test("B4 a gateway that hangs is not waited for without end", async () => {
    gateway.hold("roster");
    const { agent } = await create("Hung");
    await gateway.called("roster", agent.id);
    server.clock.advance(60_000);
    await until(async () => /did not answer/.test((await read(agent.id)).last_error ?? ""), {
      what: "the timeout",
    });
    await until(
      () => {
        server.clock.advance(1_000);
        return gateway.stepsOf(agent.id).includes("wake");
      },
      { what: "the retry" },
    );
  });

  await t.test("B5 an agent that does not check in is woken three times in all, then offline", async () => {
    const { agent } = await create("Sleeper", { wait: true });
    const woken = () => gateway.stepsOf(agent.id).filter((step) => step === "wake").length;
    /** Memory may learn of a deadline a moment after its row can be read: it is passed by one more look of the sweep. */
    const pass = async (isDone: () => boolean | Promise<boolean>, what: string) => {
      server.clock.advance(WAKE_DEADLINE_MS);
      await until(
        async () => {
          if (await isDone()) return true;
          server.clock.advance(1_000);
          return false;
        },
        { what },
      );
    };
    for (const wakes of [2, 3]) {
      await pass(() => woken() === wakes, `wake ${wakes}`);
      await until(
        async () => {
          const [row] = await server.database`
          select 1 from agents where id = ${agent.id} and work_state = 'confirming' and provision_wakes = ${wakes}`;
          return row !== undefined;
        },
        { what: `wake ${wakes} to be noted` },
      );
    }
    await pass(async () => (await read(agent.id)).status === "offline", "offline");
    assert.match((await read(agent.id)).last_error, /check-in/);
    assert.equal(woken(), 3);
  });

  await t.test("B5 an agent that checks in is not woken again", async () => {
    const { agent } = await create("Early riser", { wait: true });
    const rises = await server.wire({ token: gateway.tokens.get(agent.id) ?? "" });
    await rises.call("heartbeat");
    server.clock.advance(4 * WAKE_DEADLINE_MS);
    await rises.call("heartbeat");
    assert.equal(gateway.stepsOf(agent.id).filter((step) => step === "wake").length, 1);
  });

  await t.test("B5 the answer of an older generation is dropped", async () => {
    const held = gateway.hold("files");
    const { agent } = await create("Overtaken");
    await held.reached();
    const { agent: updated } = await owner.call("agent.update", {
      agent_id: agent.id,
      soul_template: "New",
      wait: true,
    });
    held.release();
    const generations = gateway.calls
      .filter((call) => call.agentId === agent.id)
      .map((call) => call.generation);
    assert.deepEqual(generations, [1, 1, 1, 2, 2, 2, 2]);
    assert.equal(updated.soul_template, "New");
    assert.equal((await server.wire({ token: gateway.tokens.get(agent.id) ?? "" })).closed, undefined);
  });

  await t.test("B5 a direct agent is not woken: it stays in provisioning until it first comes", async () => {
    const { board } = await server.board(owner);
    const { agent, token } = await owner.call("agent.create", {
      name: "Own",
      board_id: board.id,
      wait: true,
    });
    assert.match(token, /^mst_agent_/);
    server.clock.advance(60 * 60_000);
    assert.equal((await owner.call("agent.get", { agent_id: agent.id })).agent.status, "provisioning");
    const own = await server.wire({ token });
    assert.equal((await own.call("heartbeat")).agent.status, "online");
  });

  await t.test(
    "B4 work that was under way goes on after a restart, and no finished step is repeated",
    async () => {
      const held = gateway.hold("files");
      const { agent } = await create("Interrupted");
      await held.reached();
      await server.restart();
      await gateway.called("wake", agent.id);
      assert.deepEqual(gateway.stepsOf(agent.id), ["session", "roster", "files", "files", "wake"]);
      const token = gateway.tokens.get(agent.id) ?? "";
      assert.equal((await (await server.wire({ token })).call("heartbeat")).agent.id, agent.id);
    },
  );
});
