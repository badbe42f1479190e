import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { until } from "../support/await.ts";
import { bundledServer } from "../support/bundled-server.ts";
import { type Crashing, crashing } from "../support/crash-fixture.ts";
import { FakeGateway } from "../support/fake-gateway/gateway.ts";
import { assertOnce, assertWhole, ROOT } from "../support/openclaw-stand.ts";
import type { Wire } from "../support/wire.ts";

/** The calls that change something. */
const CALLS = {
  provision: [
    "agents.create",
    "sessions.patch",
    "agents.update",
    "agents.files.set",
    "chat.send",
    "config.patch",
  ],
  update: [
    "sessions.patch",
    "sessions.reset",
    "agents.update",
    "agents.files.set",
    "chat.send",
    "config.patch",
  ],
  delete: ["agents.delete", "sessions.delete", "sessions.reset"],
  main: ["sessions.reset", "agents.files.set", "chat.send", "config.patch"],
};
/** Those that change the configuration: one at a time is under way. */
const WRITES = new Set(["agents.create", "agents.update", "agents.delete", "config.patch"]);
const NAMES = ["Ada", "Bob", "Cleo", "Dora", "Emil", "Fay"];
const PATIENCE = { timeoutMs: 30_000 };

/** A call that goes wrong, by a text in its params, and what brings it about. */
interface Call {
  method: string;
  of: string;
  begin: () => Promise<unknown>;
}

/** A server that can be killed, with a board on a played gateway. */
class Stand {
  readonly gateway: FakeGateway;
  readonly server: Crashing;
  readonly side: "silent-before" | "silent-after";
  wire: Wire;
  readonly boardId: string;

  private constructor(parts: Pick<Stand, "gateway" | "server" | "side" | "wire" | "boardId">) {
    this.gateway = parts.gateway;
    this.server = parts.server;
    this.side = parts.side;
    this.wire = parts.wire;
    this.boardId = parts.boardId;
  }

  static async open(t: TestContext, side: Stand["side"]): Promise<Stand> {
    const gateway = await FakeGateway.start(t, "new");
    const server = await crashing(t, [await bundledServer(t)]);
    await server.start();
    const wire = await server.wire();
    const made = await wire.call("gateway.create", {
      name: "Played",
      kind: "openclaw",
      url: gateway.url,
      token: gateway.token,
      main_session_key: "agent:main:main",
      workspace_root: ROOT,
    });
    const { board } = await wire.call("board.create", { name: "Harbour", gateway_id: made.gateway.id });
    return new Stand({ gateway, server, side, wire, boardId: board.id });
  }

  /**
   * The server dies while the gateway has each call and has not answered, before or after it carried it out: once with all
   * that can be under way at the same time, and once more for each other write.
   */
  async dieAt(calls: Call[]): Promise<void> {
    this.gateway.state.effects.length = 0;
    const [write, ...writes] = calls.filter(({ method }) => WRITES.has(method));
    await this.#dieOnce(
      calls.filter(({ method }) => !WRITES.has(method)),
      write,
    );
    for (const each of writes) await this.#dieOnce([], each);
  }

  async #dieOnce(calls: Call[], write: Call | undefined): Promise<void> {
    for (const { method, of } of calls) this.gateway.fault(method, this.side, { of });
    await Promise.all(calls.map(({ begin }) => begin()));
    await this.#allMet();
    if (write) {
      this.gateway.fault(write.method, this.side, { of: write.of });
      await write.begin();
      await this.#allMet();
    }
    await this.server.kill();
    await this.server.start();
    this.wire = await this.server.wire();
  }

  #allMet(): Promise<true> {
    return until(() => this.gateway.faultsLeft === 0, { what: "the gateway to be asked", ...PATIENCE });
  }

  /** Waits until the work of that generation is done for so many agents. */
  async areDone(count: number, generation: number): Promise<void> {
    await until(
      async () => {
        const [row] = await this.server.database<{ done: number }[]>`
          select count(*)::int as done from agents
          where work_state in ('confirming', 'idle') and generation = ${generation} and status <> 'updating'`;
        return row?.done === count;
      },
      { what: "the work to be done", ...PATIENCE },
    );
  }

  startingWith(text: string): string[] {
    return this.gateway.state.effects.filter((effect) => effect.startsWith(text));
  }
}

for (const side of ["silent-before", "silent-after"] as const)
  test(`B4 B7 B10 P16 killed ${side.replace("silent-", "")} every effect at the gateway, the server goes on and does nothing twice`, {
    timeout: 180_000,
  }, async (t) => {
    const stand = await Stand.open(t, side);
    const { gateway } = stand;
    const { state } = gateway;
    const ids = new Map<string, string>();

    await stand.dieAt(
      CALLS.provision.map((method, position) => {
        const name = NAMES[position] ?? "";
        const begin = async () => {
          const { agent } = await stand.wire.call("agent.create", { name, board_id: stand.boardId });
          ids.set(name, agent.id);
        };
        return { method, of: name.toLowerCase(), begin };
      }),
    );
    await stand.areDone(NAMES.length, 1);
    for (const name of NAMES) {
      assertWhole(stand, name.toLowerCase(), "10m");
      assert.equal(stand.startingWith(`run muster-${ids.get(name)}-1-0`).length, 1, name);
    }
    assertOnce(stand);

    for (const id of ids.values()) await stand.wire.call("agent.heartbeat", { agent_id: id });
    await stand.dieAt(
      CALLS.update.map((method, position) => {
        const name = NAMES[position] ?? "";
        const change = { heartbeat_config: { every: "3m" }, soul_template: "Be kind.", force: true };
        const agent_id = ids.get(name);
        const begin = () => stand.wire.call("agent.update", { agent_id, name: `${name} again`, ...change });
        return { method, of: name.toLowerCase(), begin };
      }),
    );
    await stand.areDone(NAMES.length, 2);
    for (const name of NAMES) {
      const id = name.toLowerCase();
      assertWhole(stand, id, "3m");
      assert.deepEqual(stand.startingWith(`reset agent:${id}:`), [`reset agent:${id}:main`]);
      assert.equal(stand.startingWith(`run muster-${ids.get(name)}-2-0`).length, 1, name);
      assert.equal(state.files.get(id)?.get("SOUL.md"), "Be kind.\n");
      const row = await stand.server.row(ids.get(name) ?? "");
      assert.deepEqual([row.status, row.last_error], ["online", null]);
    }
    assertOnce(stand);

    const leaving = NAMES.slice(0, CALLS.delete.length);
    await stand.dieAt(
      CALLS.delete.map((method, position) => {
        const name = leaving[position] ?? "";
        const begin = async () => {
          // Its answer comes when the agent is gone, and here the server is gone before.
          stand.wire.call("agent.delete", { agent_id: ids.get(name) }).catch(() => {});
        };
        return { method, of: name.toLowerCase(), begin };
      }),
    );
    await until(
      async () => (await stand.server.database`select 1 from agents`).count === NAMES.length - leaving.length,
      { what: "them to be gone", ...PATIENCE },
    );
    for (const name of leaving) {
      assert.equal(state.roster.has(name.toLowerCase()), false);
      assert.equal(state.sessions.has(`agent:${name.toLowerCase()}:main`), false);
    }
    assert.equal(stand.startingWith("delete ").length, leaving.length);
    assertOnce(stand);

    const main = ids.get("Fay") ?? "";
    // What it was as an agent of its board is taken off the gateway beside this.
    await stand.wire.call("agent.update", { agent_id: main, is_gateway_main: true });
    await stand.areDone(1, 3);
    await until(() => stand.startingWith("run muster-cleanup-").some((run) => run.includes(main)), {
      what: "what it was to be gone",
      ...PATIENCE,
    });
    let generation = 3;
    for (const method of CALLS.main) {
      generation += 1;
      const change = {
        is_gateway_main: true,
        heartbeat_config: { every: `${generation}m` },
        soul_template: `Be kind, ${generation} times.`,
      };
      const begin = () => stand.wire.call("agent.update", { agent_id: main, ...change });
      await stand.dieAt([{ method, of: "main", begin }]);
      await stand.areDone(1, generation);
      assert.deepEqual(state.roster.get("main")?.heartbeat, { every: `${generation}m`, target: "none" });
      assert.equal(state.files.get("main")?.get("SOUL.md"), `Be kind, ${generation} times.\n`);
      assert.deepEqual(stand.startingWith("reset agent:main:"), ["reset agent:main:main"]);
      assert.equal(stand.startingWith(`run muster-${main}-${generation}-0`).length, 1);
      assert.equal(stand.startingWith("patch ").length, 1);
      assertOnce(stand);
    }
    const begin = async () => {
      stand.wire.call("agent.delete", { agent_id: main }).catch(() => {});
    };
    await stand.dieAt([{ method: "sessions.reset", of: "agent:main:main", begin }]);
    await until(async () => (await stand.server.row(main)) === undefined, {
      what: "it to be gone",
      ...PATIENCE,
    });
    assert.deepEqual(state.effects, ["reset agent:main:main"]);
  });
