import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError, readConfig } from "../../src/config.ts";
import { create, update } from "../support/agents.ts";
import { FakeDriver } from "../support/fake-driver.ts";
import { refused } from "../support/refused.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import type { Message, Wire } from "../support/wire.ts";

const FULL =
  /^A local gateway of this server may have 3 agents, and this one has them\. .*MUSTER_LOCAL_AGENTS/;

/** Asks for so many agents at once, over two connections: those that were made, and the refusals of the others. */
async function race(server: TestServer, token: string, params: (n: number) => object, count: number) {
  const wires = [await server.wire({ token }), await server.wire({ token, codec: "msgpack" })];
  const answers = await Promise.all(
    Array.from({ length: count }, (_, n) =>
      (wires[n % 2] as Wire).ask({ method: "agent.create", params: params(n) }),
    ),
  );
  const made: Message[] = answers.flatMap(({ result }: Message) => (result ? [result.agent] : []));
  const errors: Message[] = answers.flatMap(({ error }: Message) => (error ? [error] : []));
  for (const error of errors) assert.deepEqual([error.code, error.data.status], [-32009, 409]);
  return { made, errors };
}

test("a local gateway has so many agents and no more", async (t) => {
  const local = new FakeDriver();
  const environment = { MUSTER_LOCAL_AGENTS: "3" };
  const server = await startTestServer(t, { environment, drivers: () => ({ local }) });
  const owner = await server.wire();
  const { gateway, board } = await server.board(owner, "local");
  const { board: beside } = await owner.call("board.create", { name: "Beside", gateway_id: gateway.id });
  const count = async () =>
    (await owner.call("agent.list", { gateway_id: gateway.id, limit: 100 })).total as number;
  const boards = [board.id, beside.id];

  await t.test("also when many are asked for at once, on whichever of its boards", async () => {
    const params = (n: number) => ({ name: `Racer ${n}`, board_id: boards[n % 2] });
    const { made, errors } = await race(server, server.organization.token, params, 20);
    assert.equal(made.length, 3);
    for (const { message } of errors) assert.match(message, FULL);
    assert.equal(await count(), 3);
  });

  await t.test("by no other way either", async () => {
    await refused(
      owner.call("agent.heartbeat_or_create", { name: "Sideways", board_id: board.id }),
      "conflict",
      FULL,
    );
    const { board: elsewhere } = await server.board(owner, "direct");
    const direct = await create(owner, elsewhere, "Mover");
    await refused(update(owner, direct, { board_id: board.id }), "conflict", FULL);
    await refused(update(owner, direct, { board_id: board.id, is_gateway_main: true }), "conflict", FULL);
    assert.equal(await count(), 3);
  });

  await t.test("those that are there are changed, moved on it and repeated as before", async () => {
    const [one] = (await owner.call("agent.list", { board_id: board.id, limit: 100 })).items;
    await update(owner, one, { name: "Renamed", wait: true });
    await update(owner, one, { board_id: beside.id, wait: true });
    await owner.call("agent.delete", { agent_id: one.id, wait: true });
    const again = { name: "Repeated", board_id: board.id, idempotency_key: "once" };
    const { agent } = await owner.call("agent.create", again);
    assert.equal((await owner.call("agent.create", again)).agent.id, agent.id);
    assert.equal(await count(), 3);
  });

  await t.test("two that move to its last place at once: one stays where it was", async () => {
    const [one] = (await owner.call("agent.list", { gateway_id: gateway.id, limit: 100 })).items;
    await owner.call("agent.delete", { agent_id: one.id, wait: true });
    const { board: elsewhere } = await server.board(owner, "direct");
    const movers = [await create(owner, elsewhere, "Left"), await create(owner, elsewhere, "Right")];
    const outcomes = await Promise.allSettled(
      movers.map((mover) => update(owner, mover, { board_id: board.id })),
    );
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    assert.equal(await count(), 3);
  });

  await t.test("another has a number of its own, and other kinds have none", async () => {
    const { board: other } = await server.board(owner, "local");
    const { board: direct } = await server.board(owner, "direct");
    for (let n = 0; n < 3; n++) await create(owner, other, `Other ${n}`);
    for (let n = 0; n < 5; n++) await create(owner, direct, `Direct ${n}`);
  });
});

test("a lead makes as many agents as its board lets it, and users are not bound by that", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  assert.equal(board.max_agents, 10);
  const lead = await owner.call("agent.create", { name: "Lead", board_id: board.id, is_board_lead: true });
  await owner.call("agent.create", { name: "Second lead", board_id: board.id, is_board_lead: true });
  const full = (most: number) =>
    `Board worker-agent limit reached: max_agents=${most} (excluding the lead); cannot create more than ${most} agents.`;

  await t.test("also when it asks for many at once", async () => {
    const { made, errors } = await race(server, lead.token, (n) => ({ name: `Worker ${n}` }), 24);
    assert.equal(made.length, 10);
    for (const { message } of errors) assert.equal(message, full(10));
  });

  await t.test("the board says how many", async () => {
    const asLead = await server.wire({ token: lead.token });
    const { board: more } = await owner.call("board.update", { board_id: board.id, max_agents: 11 });
    assert.equal(more.max_agents, 11);
    await asLead.call("agent.create", { name: "Eleventh" });
    await refused(asLead.call("agent.create", { name: "Twelfth" }), "conflict", full(11));
    await owner.call("agent.create", { name: "By the owner", board_id: board.id });
    await owner.call("board.update", { board_id: board.id, max_agents: 1 });
    await refused(asLead.call("agent.create", { name: "Thirteenth" }), "conflict", full(1));
    const { board: small } = await owner.call("board.create", { name: "Small", max_agents: 2 });
    assert.deepEqual(
      [small.max_agents, (await owner.call("board.get", { board_id: small.id })).board.max_agents],
      [2, 2],
    );
  });

  await t.test("within what makes sense", async () => {
    for (const max_agents of [0, -1, 1.5, 10_001, "3", null])
      await refused(
        owner.call("board.update", { board_id: board.id, max_agents }),
        "invalid_params",
        /max_agents/,
      );
  });
});

test("an organization has twenty local gateways, also when it asks for many at once", async (t) => {
  const server = await startTestServer(t);
  const wires = [await server.wire(), await server.wire()];
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, n) =>
      (wires[n % 2] as Wire).ask({
        method: "gateway.create",
        params: {
          name: `Gateway ${n}`,
          kind: "local",
          ...(n % 3 === 0 ? { idempotency_key: `key ${n}` } : {}),
        },
      }),
    ),
  );
  assert.equal(answers.filter(({ result }: Message) => result).length, 20);
  for (const { error } of answers as Message[])
    if (error) assert.match(error.message, /^An organization may have 20 local gateways/);
  const others = await server.wire({ token: (await server.addOrganization("Others")).token });
  await server.board(others, "local");
});

test("a number of local agents that cannot be used is named at the start", () => {
  for (const given of ["0", "-1", "many", "1.5", "10001"])
    assert.throws(
      () => readConfig({ MUSTER_LOCAL_AGENTS: given }),
      (error) =>
        error instanceof ConfigError && /^MUSTER_LOCAL_AGENTS: must be a whole number/.test(error.message),
    );
  assert.equal(readConfig({}).localAgents, 50);
});
