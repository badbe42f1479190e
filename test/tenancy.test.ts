import assert from "node:assert/strict";
import { test } from "node:test";
import { METHODS } from "../src/protocol/methods.ts";
import { refused } from "./support/refused.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

/** One of everything, in the organization of the wire. */
async function furnish(server: TestServer, wire: Wire) {
  const { gateway, board } = await server.board(wire);
  const { agent, token } = await wire.call("agent.create", { name: "Resident", board_id: board.id });
  const { task } = await wire.call("task.create", {
    board_id: board.id,
    title: "Chore",
    assigned_agent_id: agent.id,
  });
  const { enrolment, token: enrolToken } = await wire.call("enrolment.create", { board_id: board.id });
  const { user_token } = await wire.call("user_token.create", { name: "spare" });
  const order = { agent_id: agent.id, name: "look", delivery: "queued" };
  const { command_id } = await wire.call("agent.command", order);
  return { gateway, board, agent, token, task, enrolment, enrolToken, user_token, command_id };
}

type Things = Awaited<ReturnType<typeof furnish>>;

/** How each method is asked for another organization's things, and what it says; null: it takes no id. */
function attempts(
  theirs: Things,
  ours: Things,
): Record<string, [params: object, answer: "not_found" | "ok"][] | null> {
  const agent_id = theirs.agent.id;
  const board_id = theirs.board.id;
  const gateway_id = theirs.gateway.id;
  const task_id = theirs.task.id;
  const { command_id } = theirs;
  return {
    "agent.command": [
      [{ agent_id, name: "look", delivery: "live" }, "not_found"],
      [{ agent_id, name: "look", delivery: "queued" }, "not_found"],
    ],
    "command.get": [[{ command_id }, "not_found"]],
    "command.cancel": [[{ command_id }, "not_found"]],
    "command.list": [[{ agent_id }, "not_found"]],
    "agent.create": [[{ name: "Intruder", board_id }, "not_found"]],
    "agent.get": [[{ agent_id }, "not_found"]],
    "agent.list": [
      [{ board_id }, "not_found"],
      [{ gateway_id }, "not_found"],
    ],
    "agent.update": [
      [{ agent_id, name: "Taken over" }, "not_found"],
      [{ agent_id }, "not_found"],
      [{ agent_id, status: "online" }, "not_found"],
      [{ agent_id: ours.agent.id, board_id }, "not_found"],
      [{ agent_id: ours.agent.id, board_id, is_gateway_main: true }, "not_found"],
    ],
    "agent.delete": [
      [{ agent_id }, "ok"],
      [{ agent_id, force: true, wait: true }, "ok"],
    ],
    "agent.heartbeat": [[{ agent_id, stats: { pwned: 1 } }, "not_found"]],
    "agent.heartbeat_or_create": [[{ name: "Resident", board_id }, "not_found"]],
    "agent.token.rotate": [[{ agent_id }, "not_found"]],
    "agent.enroll": null,
    "board.create": [[{ name: "Annexe", gateway_id }, "not_found"]],
    "board.get": [[{ board_id }, "not_found"]],
    "board.list": [[{ gateway_id }, "ok"]],
    "board.update": [
      [{ board_id, name: "Taken over" }, "not_found"],
      [{ board_id: ours.board.id, gateway_id }, "not_found"],
    ],
    "board.delete": [[{ board_id }, "ok"]],
    "gateway.create": null,
    "gateway.get": [[{ gateway_id }, "not_found"]],
    "gateway.list": null,
    "gateway.update": [[{ gateway_id, name: "Taken over" }, "not_found"]],
    "gateway.delete": [[{ gateway_id }, "ok"]],
    "gateway.status": [[{ gateway_id }, "not_found"]],
    "gateway.retry": [
      [{ gateway_id }, "not_found"],
      [{ gateway_id: ours.gateway.id, agent_id }, "not_found"],
    ],
    "gateway.import": [[{ gateway_id, board_id }, "not_found"]],
    "gateway.diff": [[{ gateway_id }, "not_found"]],
    "agent.message": [[{ agent_id, text: "Open up" }, "not_found"]],
    "task.create": [
      [{ board_id, title: "Errand" }, "not_found"],
      [{ board_id: ours.board.id, title: "Errand", assigned_agent_id: agent_id }, "not_found"],
    ],
    "task.get": [[{ task_id }, "not_found"]],
    "task.list": [
      [{ board_id }, "not_found"],
      [{ assigned_agent_id: agent_id }, "ok"],
    ],
    "task.update": [
      [{ task_id, title: "Taken over" }, "not_found"],
      [{ task_id: ours.task.id, assigned_agent_id: agent_id }, "not_found"],
    ],
    "task.delete": [[{ task_id }, "ok"]],
    "enrolment.create": [[{ board_id }, "not_found"]],
    "enrolment.list": [[{ board_id }, "ok"]],
    "enrolment.delete": [[{ enrolment_id: theirs.enrolment.id }, "ok"]],
    "organization.get": null,
    "user_token.create": null,
    "user_token.list": null,
    "user_token.delete": [[{ token_id: theirs.user_token.id }, "ok"]],
    "activity.list": [
      [{ board_id }, "not_found"],
      [{ agent_id }, "ok"],
    ],
    subscribe: [
      "agents:board:",
      "agents:gateway:",
      "agents:agent:",
      "activity:board:",
      "activity:agent:",
      "commands:agent:",
      "gateways:gateway:",
      "chat:agent:",
    ].map((topic) => {
      const kind = topic.split(":")[1];
      const id = kind === "board" ? board_id : kind === "gateway" ? gateway_id : agent_id;
      return [{ topic: `${topic}${id}` }, "not_found"];
    }),
    unsubscribe: [[{ topic: `agents:board:${board_id}` }, "ok"]],
    hello: null,
    "agent.attach": null,
    "agent.detach": null,
    heartbeat: null,
    heartbeats: null,
  };
}

/** Everything that an organization has, as rows. */
async function rowsOf(server: TestServer, organizationId: string): Promise<string> {
  const tables = [
    "agents",
    "boards",
    "gateways",
    "tasks",
    "enrolments",
    "user_tokens",
    "activity",
    "agent_commands",
  ];
  const dump = tables.map(
    (table) => server.database`
      select ${table} as source, t.* from ${server.database(table)} t
      where organization_id = ${organizationId} order by id`,
  );
  const presence = server.database`
    select p.* from presence p join agents a on a.no = p.agent_no where a.organization_id = ${organizationId}`;
  return JSON.stringify(await Promise.all([...dump, presence]));
}

test("organizations side by side", async (t) => {
  const server = await startTestServer(t);
  const neighbours = await server.addOrganization("Neighbours");
  const we = await server.wire();
  const they = await server.wire({ token: neighbours.token, codec: "msgpack" });
  const ours = await furnish(server, we);
  const theirs = await furnish(server, they);
  const cases = attempts(theirs, ours);

  await t.test("P24 every method is asked for another organization's things", () => {
    assert.deepEqual(Object.keys(cases).sort(), Object.keys(METHODS).sort());
  });

  for (const [method, tries] of Object.entries(cases))
    for (const [params, answer] of tries ?? [])
      await t.test(
        `P24 ${method} ${Object.keys(params)} of another organization: ${answer}, unchanged`,
        async () => {
          const before = await rowsOf(server, neighbours.id);
          const call = we.call(method, params);
          if (answer === "not_found") await refused(call, "not_found", /not found/);
          else {
            const result = await call;
            assert.ok(!JSON.stringify(result).includes("Resident"));
            if (result.items) assert.deepEqual(result.items, []);
          }
          assert.equal(await rowsOf(server, neighbours.id), before);
        },
      );

  await t.test("P24 lists hold one's own things only", async () => {
    for (const method of [
      "agent.list",
      "board.list",
      "gateway.list",
      "task.list",
      "enrolment.list",
      "activity.list",
    ]) {
      const { items } = await we.call(method, {});
      assert.ok(items.length > 0, method);
      const foreign = items.filter(
        (item: Message) => (item.organization_id ?? server.organization.id) !== server.organization.id,
      );
      assert.deepEqual(foreign, [], method);
    }
    assert.equal((await we.call("enrolment.list")).items.length, 1);
    assert.equal((await we.call("user_token.list")).items.length, 2);
    assert.equal((await we.call("organization.get")).organization.id, server.organization.id);
  });

  await t.test("P24 names, session keys and slugs of another organization are free", async () => {
    const { agent } = await we.call("agent.get", { agent_id: ours.agent.id });
    assert.equal(agent.name, theirs.agent.name);
    assert.equal(agent.openclaw_session_id, theirs.agent.openclaw_session_id);
  });

  await t.test("P24 an agent's token reaches nothing of another organization", async () => {
    const agent = await server.wire({ token: ours.token });
    await refused(agent.call("agent.heartbeat", { agent_id: theirs.agent.id }), "forbidden");
    const own = await agent.call("agent.heartbeat_or_create", {
      name: "Resident",
      board_id: theirs.board.id,
    });
    assert.equal(own.agent.id, ours.agent.id);
    await we.call("agent.update", { agent_id: ours.agent.id, is_board_lead: true });
    await refused(agent.call("agent.create", { name: "X", board_id: theirs.board.id }), "forbidden");
    await refused(agent.call("agent.update", { agent_id: theirs.agent.id, name: "X" }), "not_found");
  });

  await t.test("P24 a topic of one's own never carries another organization's changes", async () => {
    for (const topic of ["agents", "activity"]) {
      const { items } = await we.call("subscribe", { topic });
      assert.ok(
        items.every((item: Message) => item.organization_id === server.organization.id),
        topic,
      );
    }
    const theirAgent = await server.wire({ token: theirs.token });
    await theirAgent.call("heartbeat", { stats: { load: 1 } });
    await they.call("agent.update", { agent_id: theirs.agent.id, name: "Renamed" });
    await we.call("agent.update", { agent_id: ours.agent.id, name: "Ours, later" });
    await we.pushed(ours.agent.id, "our own change", (a) => a.name === "Ours, later");
    server.clock.advance(2_000);
    const marker = await we.call("agent.heartbeat", { agent_id: ours.agent.id });
    server.clock.advance(2_000);
    await we.next(
      "our own last-seen",
      (m) =>
        m.method === "seen" || m.params?.upserts?.some((a: Message) => a.version >= marker.agent.version),
    );
    assert.ok(!JSON.stringify(we.received).includes(neighbours.id));
    assert.ok(!JSON.stringify(we.received).includes(theirs.agent.id));
  });

  await t.test("P24 an enrolment makes agents of its own organization, whoever holds it", async () => {
    const { agent } = await we.call("agent.enroll", { token: theirs.enrolToken, name: "Guest" });
    assert.equal(agent.organization_id, neighbours.id);
    await refused(we.call("agent.get", { agent_id: agent.id }), "not_found");
  });
});
