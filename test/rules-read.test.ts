import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { managedBoard } from "./support/fake-driver.ts";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

const names = (answer: Message) => answer.items.map((item: Message) => item.name);

test("reading agents", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire({ codec: "msgpack" });
  const { gateway, board } = await server.board(owner);
  const { board: second } = await owner.call("board.create", { name: "Second", gateway_id: gateway.id });
  const other = await server.board(owner);
  const create = async (name: string, board_id: string) => {
    // Each a moment later, so that newest first is an order.
    server.clock.advance(10);
    return owner.call("agent.create", { name, board_id });
  };
  const made: Message[] = [];
  for (const name of ["One", "Two", "Three", "Four", "Five"]) made.push(await create(name, board.id));
  await create("Six", second.id);
  await create("Seven", other.board.id);
  const list = (params: object = {}) => owner.call("agent.list", params);

  await t.test("P13 list shows all agents, newest first, with their total", async () => {
    const all = await list();
    assert.deepEqual(names(all), ["Seven", "Six", "Five", "Four", "Three", "Two", "One"]);
    assert.equal(all.total, 7);
    assert.equal(all.next_cursor, null);
    const part = await list({ limit: 2, offset: 3 });
    assert.deepEqual(names(part), ["Four", "Three"]);
    assert.equal(part.total, 7);
    assert.deepEqual(names(await list({ offset: 100 })), []);
  });

  await t.test("P13 list filters by board and by gateway", async () => {
    assert.deepEqual(names(await list({ board_id: second.id })), ["Six"]);
    assert.equal((await list({ gateway_id: gateway.id })).total, 6);
    assert.deepEqual(names(await list({ gateway_id: other.gateway.id, board_id: other.board.id })), [
      "Seven",
    ]);
    assert.equal((await list({ gateway_id: other.gateway.id, board_id: board.id })).total, 0);
    await refused(list({ board_id: randomUUID() }), "not_found", "Board not found");
    await refused(list({ gateway_id: randomUUID() }), "not_found", "Gateway not found");
  });

  await t.test("P13 limit is 50 unless given, at most 500, and paging values must make sense", async () => {
    for (const bad of [{ limit: 501 }, { limit: 0 }, { limit: 1.5 }, { offset: -1 }, { cursor: "nonsense" }])
      await refused(list(bad), "invalid_params");
    assert.equal((await list({ limit: 500 })).items.length, 7);
  });

  await t.test("P13 an agent that is its gateway's main one is listed too, and says so", async () => {
    const own = await managedBoard(owner);
    const { agent } = await owner.call("agent.create", { name: "Chief", board_id: own.board.id });
    assert.equal(agent.is_gateway_main, false);
    const main = await owner.call("agent.update", { agent_id: agent.id, is_gateway_main: true });
    assert.equal(main.agent.openclaw_session_id, own.gateway.main_session_key);
    const listed = (await list({ gateway_id: own.gateway.id })).items[0];
    assert.deepEqual([listed.id, listed.is_gateway_main, listed.board_id], [agent.id, true, null]);
    await owner.call("agent.delete", { agent_id: agent.id, force: true, wait: true });
  });

  await t.test("P13 get answers the whole agent, without secrets", async () => {
    const [{ agent, token }] = [made[0]];
    const got = (await owner.call("agent.get", { agent_id: agent.id })).agent;
    assert.deepEqual(got, agent);
    assert.deepEqual(Object.keys(got).sort(), [
      ...["board_id", "connected", "created_at", "gateway_id", "heartbeat_config", "id", "identity_profile"],
      ...["identity_template", "is_board_lead", "is_gateway_main", "last_error", "last_seen_at", "name"],
      ...["openclaw_session_id", "organization_id", "reported", "soul_template", "status", "updated_at"],
      "version",
    ]);
    assert.match(got.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.ok(!JSON.stringify(got).includes(token.slice(-43)));
    await refused(owner.call("agent.get", { agent_id: randomUUID() }), "not_found", "Agent not found");
    await refused(owner.call("agent.get", { agent_id: "x" }), "invalid_params", /agent_id/);
  });

  await t.test("P13 an agent and a plain member list nobody", async () => {
    const agent = await server.wire({ token: made[2].token });
    await refused(agent.call("agent.list"), "forbidden");
    await refused(agent.call("agent.get", { agent_id: made[1].agent.id }), "forbidden");
    await refused((await server.wire({ token: null })).call("agent.list"), "forbidden");
    agent.end();
  });

  await t.test("B6 list filters by status and by a part of the name", async () => {
    const worker = await server.wire({ token: made[2].token });
    await worker.call("heartbeat");
    assert.deepEqual(names(await list({ status: "online" })), ["Three"]);
    assert.equal((await list({ status: "offline" })).total, 0);
    await refused(list({ status: "asleep" }), "invalid_params", /status/);
    assert.deepEqual(names(await list({ name: "FIV" })), ["Five"]);
    assert.deepEqual(names(await list({ name: "e", board_id: board.id })), ["Five", "Three", "One"]);
  });

  await t.test("B6 paging by cursor stays right while agents come and go", async () => {
    const first = await list({ limit: 3 });
    assert.deepEqual(names(first), ["Seven", "Six", "Five"]);
    await create("Eight", board.id);
    await owner.call("agent.delete", { agent_id: first.items[2].id });
    const next = await list({ limit: 3, cursor: first.next_cursor });
    assert.deepEqual(names(next), ["Four", "Three", "Two"]);
    const last = await list({ limit: 3, cursor: next.next_cursor });
    assert.deepEqual(names(last), ["One"]);
    assert.equal(last.next_cursor, null);
  });

  await t.test("B6 agents of one instant are each listed once across pages", async () => {
    const { board: crowd } = await server.board(owner);
    const ids = await Promise.all(
      Array.from({ length: 7 }, (_, n) =>
        owner.call("agent.create", { name: `Crowd ${n}`, board_id: crowd.id }).then(({ agent }) => agent.id),
      ),
    );
    const seen: string[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await list({ board_id: crowd.id, limit: 2, ...(cursor ? { cursor } : {}) });
      seen.push(...page.items.map((item: Message) => item.id));
      if (page.next_cursor === null) break;
      cursor = page.next_cursor;
    }
    assert.deepEqual(seen.toSorted(), ids.toSorted());
  });
});
