import assert from "node:assert/strict";
import { test } from "node:test";
import type { Fault } from "../support/fake-gateway/gateway.ts";
import {
  assertOnce,
  assertWhole,
  create,
  enter,
  type Stand,
  whileTimePasses,
} from "../support/openclaw-stand.ts";
import type { Message } from "../support/wire.ts";

/** Before its effect or after it: the gateway restarts, does not answer, answers oddly, or breaks the link. */
const FAULTS: Fault[] = [
  "restart-before",
  "restart-after",
  "silent-before",
  "silent-after",
  "slow",
  "late",
  "split",
  "wrong-id",
  "close-1009",
  { error: { code: "UNAVAILABLE", message: "busy; retry shortly", retryable: true, retryAfterMs: 2_000 } },
];
/** The calls of each piece of work that change something. A patch of the configuration is for many agents. */
const CALLS = {
  provision: ["agents.create", "sessions.patch", "agents.update", "agents.files.set", "chat.send"],
  update: ["sessions.patch", "sessions.reset", "agents.update", "agents.files.set", "chat.send"],
  delete: ["agents.delete", "sessions.delete"],
};
/** So that time that passes quickly lets nobody go offline, or be woken again. */
const PATIENT = { MUSTER_OFFLINE_AFTER: "10000h", MUSTER_CHECKIN_DEADLINE: "10000h" };

/** One fault each, at one call each. */
const planned = (action: keyof typeof CALLS) =>
  CALLS[action].flatMap((method) => FAULTS.map((fault) => ({ method, fault })));
const nameOf = (position: number) => `Pilot ${String(position).padStart(2, "0")}`;
const idOf = (position: number) => `pilot-${String(position).padStart(2, "0")}`;

/** Plans the faults of an action, one for each agent. */
function planFaults({ gateway }: Stand, action: keyof typeof CALLS): void {
  for (const [position, { method, fault }] of planned(action).entries())
    gateway.fault(method, fault, { of: idOf(position) });
}

const everyAgent = async ({ wire }: Stand): Promise<Message[]> =>
  (await wire.call("agent.list", { limit: 200 })).items;

const startingWith = ({ gateway }: Stand, text: string) =>
  gateway.state.effects.filter((effect) => effect.startsWith(text));

/** Waits until none of the agents has work under way at the gateway, and all were woken so often. */
async function areDone(stand: Stand, count: number, wakes: number): Promise<Message[]> {
  await whileTimePasses(
    stand,
    `${count} agents to be woken`,
    async () => {
      const [row] = await stand.server.database<{ done: number }[]>`
        select count(*)::int as done from agents
        where work_state in ('confirming', 'idle') and generation = ${wakes} and status <> 'updating'`;
      return row?.done === count;
    },
    60_000,
  );
  return everyAgent(stand);
}

for (const flavour of ["old", "new"] as const)
  test(`B4 B7 B10 (${flavour}) fifty agents at once, each met by another fault at another call: all is made good, and nothing happens twice`, {
    timeout: 110_000,
  }, async (t) => {
    const stand = await enter(t, flavour, { environment: PATIENT });
    const { gateway, wire } = stand;
    const { state } = gateway;
    const count = planned("provision").length;

    planFaults(stand, "provision");
    await Promise.all(Array.from({ length: count }, (_, position) => create(stand, nameOf(position))));
    let agents = await areDone(stand, count, 1);
    assert.equal(gateway.faultsLeft, 0);
    for (let position = 0; position < count; position++) assertWhole(stand, idOf(position), "10m");
    for (const { id } of agents)
      assert.deepEqual(startingWith(stand, `run muster-${id}`), [`run muster-${id}-1-0`]);
    assertOnce(stand);

    for (const { id } of agents) await wire.call("agent.heartbeat", { agent_id: id });
    state.effects.length = 0;
    planFaults(stand, "update");
    const change = { heartbeat_config: { every: "3m" }, soul_template: "Be kind.", force: true };
    await Promise.all(
      agents.map(({ id, name }) =>
        wire.call("agent.update", { agent_id: id, name: `${name} again`, ...change }),
      ),
    );
    agents = await areDone(stand, count, 2);
    assert.equal(gateway.faultsLeft, 0);
    for (let position = 0; position < count; position++) {
      const id = idOf(position);
      assertWhole(stand, id, "3m");
      assert.equal(state.roster.get(id)?.name, `${nameOf(position)} again`);
      assert.equal(state.files.get(id)?.get("SOUL.md"), "Be kind.\n");
      assert.match(state.files.get(id)?.get("BOOTSTRAP.md") ?? "", /first/i);
      assert.deepEqual(startingWith(stand, `reset agent:${id}:`), [`reset agent:${id}:main`]);
    }
    for (const { id, status, last_error } of agents) {
      assert.deepEqual([status, last_error], ["online", null]);
      assert.deepEqual(startingWith(stand, `run muster-${id}`), [`run muster-${id}-2-0`]);
    }
    assertOnce(stand);

    state.effects.length = 0;
    planFaults(stand, "delete");
    await Promise.all(agents.map(({ id }) => wire.call("agent.delete", { agent_id: id })));
    await whileTimePasses(
      stand,
      "all to be gone",
      async () => (await everyAgent(stand)).length === 0,
      60_000,
    );
    assert.equal(gateway.faultsLeft, 0);
    assert.deepEqual([...state.roster.keys()], ["main"]);
    assert.deepEqual(
      [...state.sessions.keys()].filter((key) => key.startsWith("agent:pilot")),
      [],
    );
    assert.equal(state.effectsOf("delete").length, count);
    assertOnce(stand);
    // An old one restarts after its last write, too.
    await whileTimePasses(stand, "one connection for all", async () => gateway.connections === 1);
  });

for (const flavour of ["old", "middle", "new"] as const)
  test(`B5 (${flavour}) a patch that meets a fault is written once, and only if it has to be`, async (t) => {
    const stand = await enter(t, flavour, { environment: PATIENT });
    const { state } = stand.gateway;
    for (const [position, fault] of FAULTS.entries()) {
      state.effects.length = 0;
      stand.gateway.fault("config.patch", fault);
      await create(stand, nameOf(position));
      await areDone(stand, position + 1, 1);
      assertWhole(stand, idOf(position), "10m");
      assert.equal(state.effectsOf("patch").length, 1, JSON.stringify(fault));
      assertOnce(stand);
    }
    assert.equal(stand.gateway.faultsLeft, 0);
  });

for (const [flavour, faults] of [
  ["old", FAULTS.slice(0, 4)],
  ["new", FAULTS],
] as const)
  test(`P16 (${flavour}) a gateway's own agent as its main agent: set up, changed and deleted through every fault, each thing once`, {
    timeout: 110_000,
  }, async (t) => {
    const stand = await enter(t, flavour, { environment: PATIENT });
    const { gateway, wire } = stand;
    const { state } = gateway;
    const agent = await create(stand, "Ada");
    await areDone(stand, 1, 1);
    await wire.call("agent.heartbeat", { agent_id: agent.id });
    // What it was as an agent of its board is taken off the gateway, beside the work on what it is now.
    await wire.call("agent.update", { agent_id: agent.id, is_gateway_main: true });
    await areDone(stand, 1, 2);
    await whileTimePasses(stand, "what it was to be gone", () =>
      state.effects.some((effect) => effect.startsWith("run muster-cleanup-")),
    );
    assert.deepEqual([...state.roster.keys()], ["main"]);
    const methods = ["sessions.patch", "sessions.reset", "config.patch", "agents.files.set", "chat.send"];
    let generation = 2;
    for (const method of methods)
      for (const fault of faults) {
        generation += 1;
        state.effects.length = 0;
        gateway.fault(method, fault);
        if (method === "sessions.patch") state.sessions.delete("agent:main:main");
        await wire.call("agent.update", {
          agent_id: agent.id,
          is_gateway_main: true,
          heartbeat_config: { every: `${generation}m` },
          soul_template: `Be kind, ${generation} times.`,
        });
        const [now] = await areDone(stand, 1, generation);
        const about = `${method} ${JSON.stringify(fault)}`;
        assert.deepEqual([now?.status, now?.last_error, now?.is_gateway_main], ["online", null, true], about);
        assert.deepEqual(state.roster.get("main"), {
          id: "main",
          heartbeat: { every: `${generation}m`, target: "none" },
        });
        assert.equal(state.files.get("main")?.get("SOUL.md"), `Be kind, ${generation} times.\n`, about);
        assert.deepEqual(state.effectsOf("reset"), ["reset agent:main:main"], about);
        assert.deepEqual(state.effectsOf("run"), [`run muster-${agent.id}-${generation}-0`], about);
        assert.equal(state.effectsOf("patch").length, 1, about);
        assertOnce(stand);
        assert.equal(gateway.faultsLeft, 0, about);
      }
    state.effects.length = 0;
    gateway.fault("sessions.reset", "restart-after");
    await wire.call("agent.delete", { agent_id: agent.id });
    await whileTimePasses(stand, "it to be gone", async () => (await everyAgent(stand)).length === 0);
    assert.deepEqual(state.effects, ["reset agent:main:main"]);
    assert.equal(state.roster.has("main"), true);
  });
