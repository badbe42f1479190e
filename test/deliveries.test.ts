import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { CommandAnswer } from "../src/actors/attachments.ts";
import { Deliveries } from "../src/commands/deliveries.ts";
import { createLog } from "../src/log.ts";
import type { AgentCommand } from "../src/protocol/agent-commands.ts";
import { MusterError } from "../src/protocol/errors.ts";
import { insertAgentCommand } from "../src/store/agent-commands.ts";
import { createLookups } from "../src/store/lookups.ts";
import { until } from "./support/await.ts";
import { startTestServer } from "./support/server.ts";
import { TurnedClock } from "./support/turned-clock.ts";

/** Deliveries to one agent of a real database, by a channel that the test answers for. */
async function stand(t: TestContext, answer: (id: string, timeoutMs: number) => Promise<CommandAnswer>) {
  const { board, database, wire, organization } = await (async () => {
    const server = await startTestServer(t);
    const wire = await server.wire();
    return { ...(await server.board(wire)), ...server, database: server.database, wire };
  })();
  const { agent } = await wire.call("agent.create", { name: "Worker", board_id: board.id });
  const clock = new TurnedClock(Date.parse("2031-01-01T00:00:00.000Z"));
  const told: AgentCommand[] = [];
  const channel = {
    tokenId: "",
    detached() {},
    pace() {},
    configure: async () => null,
    command: (id: string, _name: string, _args: object, timeoutMs: number) => answer(id, timeoutMs),
  };
  const deliveries = new Deliveries({
    database,
    clock,
    log: createLog("silent"),
    lookups: createLookups(database),
    registry: { indexOf: () => 0 },
    attachments: { channelOf: () => channel },
    hub: { commanded: (command) => told.push(command) },
  });
  t.after(() => deliveries.stop());
  const queue = (id: string) =>
    insertAgentCommand(database, {
      id,
      organization_id: organization.id,
      agent_id: agent.id,
      name: "do",
      args: null,
      created_at: new Date(clock.now()),
      expires_at: null,
    });
  return { deliveries, clock, told, queue };
}

const ID = "00000000-0000-4000-8000-000000000001";

test("B13 what a command was is not told after what it has become", async (t) => {
  const { deliveries, told, queue } = await stand(t, async () => "lost");
  const row = await queue(ID);
  deliveries.ended({ ...row, status: "cancelled" });
  deliveries.queued({ ...row, status: "delivered", attempts: 1 });
  deliveries.queued(row);
  assert.deepEqual(
    told.map(({ status }) => status),
    ["cancelled"],
  );
});

test("B13 a command that its channel could not take is handed over again", async (t) => {
  let refusals = 1;
  const { deliveries, clock, told, queue } = await stand(t, async () => {
    if (refusals-- > 0) throw new MusterError("unavailable", "Too many questions wait.");
    return { result: 1 };
  });
  deliveries.queued(await queue(ID));
  await until(
    () => {
      clock.advance(100);
      return told.at(-1)?.status === "completed";
    },
    { what: "the command to be completed" },
  );
  assert.equal(told.at(-1)?.attempts, 2);
});

test("B13 a command that is not answered in a time is put back behind the others, and handed over again", async (t) => {
  const asked: string[] = [];
  const { deliveries, clock, told, queue } = await stand(t, (id, timeoutMs) => {
    asked.push(id);
    // The first so many are never answered, each time until its time is over; the others are at once.
    if (asked.length > 40 || Number(id.slice(-2)) > 32) return Promise.resolve({ result: 1 });
    return new Promise((_, reject) =>
      clock.after(timeoutMs ?? 0, () => reject(new MusterError("timeout", "late"))),
    );
  });
  const ids = Array.from(
    { length: 33 },
    (_, n) => `00000000-0000-4000-8000-0000000000${String(n + 1).padStart(2, "0")}`,
  );
  for (const id of ids) deliveries.queued(await queue(id));
  await until(() => asked.length === 32, { what: "as many to be handed over as an agent may have" });
  await until(
    () => {
      clock.advance(60_000);
      return told.filter(({ status }) => status === "completed").length === 33;
    },
    { what: "all to be completed" },
  );
  const lastId = ids.at(-1) ?? "";
  assert.ok(
    asked.indexOf(lastId) < 34 + 32,
    "the one that waited came before those that were put back twice",
  );
  assert.equal(told.filter(({ id, status }) => id === lastId && status === "completed").length, 1);
  assert.ok(
    told.some(({ id, status, attempts }) => id === ids[0] && status === "completed" && attempts >= 2),
  );
});
