import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./support/await.ts";
import type { Fault } from "./support/fake-gateway/gateway.ts";
import { assertWhole, create, enter, isWoken } from "./support/openclaw-stand.ts";

const STEPS = ["agents.create", "sessions.patch", "config.patch", "agents.files.set", "chat.send"];
const FAULTS: Fault[] = [
  "restart-before",
  "restart-after",
  "silent-before",
  "silent-after",
  "wrong-id",
  "close-1009",
  { error: { code: "UNAVAILABLE", message: "busy; retry shortly", retryable: true, retryAfterMs: 2_000 } },
];

for (const flavour of ["old", "new"] as const)
  for (const method of STEPS)
    test(`B4 (${flavour}) ${method}: a restart, silence or an error before or after its effect is made good`, async (t) => {
      const stand = await enter(t, flavour);
      const { gateway, wire } = stand;
      for (const [position, fault] of FAULTS.entries()) {
        const name = `Pilot ${position}`;
        const id = `pilot-${position}`;
        gateway.state.effects.length = 0;
        gateway.fault(method, fault);
        const agent = await create(stand, name);
        await isWoken(stand, agent.id);
        assertWhole(stand, id, "10m");
        const own = gateway.state.effectsOf("run").filter((run) => run.includes(agent.id));
        assert.deepEqual(own, [`run muster-${agent.id}-1-0`]);
        // It checks in, so that nobody wakes it again.
        await wire.call("agent.heartbeat", { agent_id: agent.id });
        const { agent: after } = await wire.call("agent.get", { agent_id: agent.id });
        assert.equal(after.last_error, null);
      }
    });

for (const method of [...STEPS, "sessions.reset"])
  for (const fault of ["silent-before", "silent-after"] as const)
    test(`B4 the server dies in ${method} (${fault}): after its start it goes on, and nothing happens twice`, async (t) => {
      const stand = await enter(t, "new");
      const { gateway, server } = stand;
      const isUpdate = method === "sessions.reset";
      if (!isUpdate) gateway.fault(method, fault);
      const agent = await create(stand, "Ada");
      if (isUpdate) {
        await isWoken(stand, agent.id);
        await stand.wire.call("agent.heartbeat", { agent_id: agent.id });
        gateway.fault(method, fault);
        await stand.wire.call("agent.update", { agent_id: agent.id, force: true });
      }
      await until(() => gateway.callsOf(method) > 0, { what: `the gateway to be asked for ${method}` });
      await server.restart();
      stand.wire = await server.wire();
      await isWoken(stand, agent.id, isUpdate ? 2 : 1);
      assertWhole(stand, "ada", "10m");
      assert.ok(gateway.state.effectsOf("reset").length <= 1, gateway.state.effects.join());
      const { agent: after } = await stand.wire.call("agent.get", { agent_id: agent.id });
      assert.notEqual(after.status, "updating");
    });
