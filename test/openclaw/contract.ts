import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { systemClock } from "../../src/clock.ts";
import { until } from "../support/await.ts";
import { startTestServer } from "../support/server.ts";
import type { Message, Wire } from "../support/wire.ts";

const run = promisify(execFile);
/** A real gateway may take its time, above all for the first of a kind. */
const PATIENCE_MS = 90_000;

/** What the model behind the gateway answers. */
export const REPLY = "Aye, all is well here.";

/** A gateway that runs for these tests, and a look behind its back. */
export interface RunningGateway {
  url: string;
  token: string;
  /** The folder, as the gateway knows it, in which its agents' workspaces lie. */
  workspaceRoot: string;
  /** A workspace file as it is there; null: it is not. */
  file(agentId: string, name: string): Promise<string | null>;
  /** The agent's entry in the gateway's configuration; null: it has none. */
  agent(agentId: string): Promise<Record<string, unknown> | null>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** What every gateway has to stand, and Muster with it: a real one, of any version, and one that is played. */
export function contract(name: string, start: () => Promise<RunningGateway>): void {
  describe(name, { concurrency: 1 }, () => {
    let gateway: RunningGateway;
    let boards = 0;

    test("the gateway starts", { timeout: 480_000 }, async () => {
      gateway = await start();
    });

    async function enter(t: TestContext, settings: object = {}) {
      const server = await startTestServer(t, { clock: systemClock });
      const wire = await server.wire();
      boards += 1;
      const made = await wire.call("gateway.create", {
        name: `Real ${boards}`,
        kind: "openclaw",
        url: gateway.url,
        token: gateway.token,
        main_session_key: "agent:main:main",
        workspace_root: gateway.workspaceRoot,
        ...settings,
      });
      const { board } = await wire.call("board.create", {
        name: `Board ${boards}`,
        gateway_id: made.gateway.id,
      });
      return { server, wire, gatewayId: made.gateway.id, boardId: board.id };
    }

    // First: a newer gateway ends all turns of its agents before it restarts, of those that are gone too.
    test("B4 a gateway that restarts in the middle of the work: it goes on, and is done once", {
      timeout: 480_000,
    }, async (t) => {
      const { wire, boardId } = await enter(t);
      const { agent } = await wire.call("agent.create", { name: "Lighthouse", board_id: boardId });
      await gateway.restart();
      await until(
        async () => {
          const { agent: now } = await wire.call("agent.get", { agent_id: agent.id });
          assert.equal(now.last_error?.includes("already exists") ?? false, false);
          const { items } = await wire.call("activity.list", {
            agent_id: agent.id,
            type: "agent.wakeup.sent",
          });
          return items.length > 0;
        },
        { what: "the agent to be woken", timeoutMs: PATIENCE_MS },
      );
      assert.notEqual(await gateway.agent("lighthouse"), null);
      await wire.call("agent.delete", { agent_id: agent.id, wait: true });
    });

    test("B7 an agent is set up, changed and removed; nothing is written that is as wanted", {
      timeout: 180_000,
    }, async (t) => {
      const { wire, gatewayId, boardId } = await enter(t);
      const { agent } = await wire.call("agent.create", {
        name: "Harbour Master",
        board_id: boardId,
        heartbeat_config: { every: "17m", target: "none" },
        wait: true,
      });
      assert.equal(agent.last_error, null);
      // An old one restarts after each write.
      await until(
        async () => {
          const { link } = await wire.call("gateway.status", { gateway_id: gatewayId });
          return link.state === "ready" && link.last_error === null;
        },
        { what: "the link to be ready", timeoutMs: PATIENCE_MS },
      );
      const id = "harbour-master";
      const entry = await gateway.agent(id);
      assert.deepEqual(entry?.heartbeat, { every: "17m", target: "none" });
      assert.equal(entry?.name, "Harbour Master");
      assert.match((await gateway.file(id, "IDENTITY.md")) ?? "", /Harbour Master/);
      const token = tokenOf(await guides(gateway, id));
      await signIn(wire, token, agent.id);
      assert.deepEqual((await wire.call("gateway.diff", { gateway_id: gatewayId })).items, []);

      await wire.call("agent.update", {
        agent_id: agent.id,
        name: "Harbour Mistress",
        heartbeat_config: { every: "23m", target: "none" },
        wait: true,
      });
      const changed = await gateway.agent(id);
      assert.deepEqual(changed?.heartbeat, { every: "23m", target: "none" });
      assert.equal(changed?.name, "Harbour Mistress");
      const fresh = tokenOf(await guides(gateway, id));
      assert.notEqual(fresh, token, "an update brings a fresh token");
      await signIn(wire, token, agent.id);
      await signIn(wire, fresh, agent.id);
      await assert.rejects(signIn(wire, token, agent.id), /unauthenticated|closed/);

      await wire.call("agent.delete", { agent_id: agent.id, wait: true });
      await assert.rejects(wire.call("agent.get", { agent_id: agent.id }), /not_found/);
      assert.equal(await gateway.agent(id), null);
    });

    test("an agent that the gateway has already is imported, and its files are left alone", {
      timeout: 120_000,
    }, async (t) => {
      const first = await enter(t);
      const { agent } = await first.wire.call("agent.create", {
        name: "Old Hand",
        board_id: first.boardId,
        wait: true,
      });
      const before = await guides(gateway, "old-hand");
      const second = await enter(t);
      const { items } = await second.wire.call("gateway.diff", { gateway_id: second.gatewayId });
      assert.deepEqual(
        items.map(({ kind, gateway_agent_id }: Message) => [kind, gateway_agent_id]),
        [["extra", "old-hand"]],
      );
      const { imported, skipped } = await second.wire.call("gateway.import", {
        gateway_id: second.gatewayId,
        board_id: second.boardId,
      });
      assert.deepEqual([imported.length, skipped], [1, []]);
      assert.equal(imported[0].openclaw_session_id, agent.openclaw_session_id);
      assert.equal(await guides(gateway, "old-hand"), before);
      await first.wire.call("agent.delete", { agent_id: agent.id, wait: true });
    });

    test("B12 a message is answered in the agent's chat, and the answer is a sign of life", {
      timeout: 120_000,
    }, async (t) => {
      const { wire, boardId } = await enter(t);
      const { agent } = await wire.call("agent.create", { name: "Talker", board_id: boardId, wait: true });
      await wire.call("subscribe", { topic: `chat:agent:${agent.id}` });
      // It answers the wake-up first: that alone shows that it lives.
      await until(
        async () => (await wire.call("agent.get", { agent_id: agent.id })).agent.status === "online",
        { what: "the answer to the wake-up", timeoutMs: PATIENCE_MS },
      );
      const { run_id } = await wire.call("agent.message", { agent_id: agent.id, text: "Is all well?" });
      const entries = () =>
        wire.received
          .filter(({ params }) => params?.topic === `chat:agent:${agent.id}`)
          .flatMap(({ params }) => params.upserts ?? [])
          .filter((entry: Message) => entry.run_id === run_id);
      await until(() => entries().some(({ kind }: Message) => kind === "final"), {
        what: "the reply",
        timeoutMs: PATIENCE_MS,
      });
      assert.equal(entries()[0].text, "Is all well?");
      assert.equal(entries().at(-1).text, REPLY);
      await wire.call("agent.delete", { agent_id: agent.id, wait: true });
    });

    test("a wrong token is refused for good, with words, and the agent is not stuck", {
      timeout: 120_000,
    }, async (t) => {
      const { wire, gatewayId, boardId } = await enter(t, { token: "wrong" });
      const { agent } = await wire.call("agent.create", {
        name: "Locked Out",
        board_id: boardId,
        wait: true,
      });
      assert.equal(agent.status, "provisioning");
      assert.match(agent.last_error, /token/);
      const { link, failed } = await wire.call("gateway.status", { gateway_id: gatewayId });
      assert.deepEqual([link.state, failed], ["refused", 1]);
      assert.match(link.hint, /gateway\.update/);
      await wire.call("gateway.update", { gateway_id: gatewayId, token: gateway.token });
      await until(
        async () => (await wire.call("gateway.status", { gateway_id: gatewayId })).link.state === "ready",
        { what: "the link to be ready", timeoutMs: PATIENCE_MS },
      );
      assert.deepEqual(await wire.call("gateway.retry", { gateway_id: gatewayId }), { retried: 1 });
      await until(() => gateway.agent("locked-out"), { what: "the agent", timeoutMs: PATIENCE_MS });
      // In the middle of its provisioning.
      await wire.call("agent.delete", { agent_id: agent.id, wait: true });
      assert.equal(await gateway.agent("locked-out"), null);
    });

    test("P11 who follows the workspace's words to the letter is online for who watches", {
      timeout: 120_000,
    }, async (t) => {
      const { server, wire, boardId } = await enter(t);
      const watcher = await server.wire();
      await watcher.call("subscribe", { topic: `agents:board:${boardId}` });
      const { agent } = await wire.call("agent.create", { name: "Faithful", board_id: boardId, wait: true });
      const script = /```sh\n([\s\S]+?)```/.exec(await heartbeatGuide(gateway, "faithful"))?.[1];
      assert.ok(script);
      await run("sh", ["-ec", script]);
      await watcher.pushed(agent.id, "the agent online", ({ status }) => status === "online");
      await wire.call("agent.delete", { agent_id: agent.id, wait: true });
    });

    test("P16 the gateway's own agent is its main agent, where the gateway has it, and stays when it is deleted", {
      timeout: 240_000,
    }, async (t) => {
      const { server, wire, gatewayId, boardId } = await enter(t);
      const watcher = await server.wire();
      await watcher.call("subscribe", { topic: `agents:gateway:${gatewayId}` });
      const { agent } = await wire.call("agent.create", { name: "Steward", board_id: boardId, wait: true });
      const change = (every: string) =>
        wire.call("agent.update", {
          agent_id: agent.id,
          is_gateway_main: true,
          heartbeat_config: { every, target: "none" },
          wait: true,
        });
      for (const every of ["31m", "37m"]) {
        const { agent: now } = await change(every);
        assert.deepEqual([now.last_error, now.openclaw_session_id], [null, "agent:main:main"]);
        assert.deepEqual((await gateway.agent("main"))?.heartbeat, { every, target: "none" });
      }
      assert.equal(await gateway.agent("steward"), null, "what it was before has gone");
      const script = /```sh\n([\s\S]+?)```/.exec(await heartbeatGuide(gateway, "main"))?.[1];
      assert.ok(script);
      await run("sh", ["-ec", script]);
      await watcher.pushed(agent.id, "the agent online", ({ status }) => status === "online");
      assert.deepEqual((await wire.call("gateway.diff", { gateway_id: gatewayId })).items, []);
      await wire.call("agent.delete", { agent_id: agent.id, wait: true });
      assert.notEqual(await gateway.agent("main"), null);
    });

    test("the gateway stops", { timeout: 30_000 }, () => gateway?.stop());
  });
}

/** The guides: files of their own where the gateway takes them, else parts of AGENTS.md. */
async function guides(gateway: RunningGateway, id: string): Promise<string> {
  const texts = await Promise.all(["TOOLS.md", "AGENTS.md"].map((name) => gateway.file(id, name)));
  return texts.join("\n");
}

async function heartbeatGuide(gateway: RunningGateway, id: string): Promise<string> {
  const own = await gateway.file(id, "HEARTBEAT.md");
  if (own?.includes("# Your heartbeat")) return own;
  const text = (await gateway.file(id, "AGENTS.md")) ?? "";
  return text.slice(text.indexOf("# Your heartbeat"));
}

function tokenOf(text: string): string {
  const token = /^Token: (\S+)$/m.exec(text)?.[1];
  assert.ok(token, "the workspace holds the token");
  return token;
}

/** Uses an agent's token; it is that agent's. */
async function signIn(wire: Wire, token: string, agentId: string): Promise<void> {
  const { agent } = await wire.call("agent.attach", { token });
  assert.equal(agent.id, agentId);
}
