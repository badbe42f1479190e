import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import { managedBoard } from "./support/fake-driver.ts";
import { refused } from "./support/refused.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

/** Who may create, and where. */
async function whoAndWhere(t: TestContext, server: TestServer, owner: Wire) {
  const { gateway, board } = await server.board(owner);
  const create = (wire: Wire, fields: object) => wire.call("agent.create", fields);

  await t.test("P6 an ordinary agent creates nobody, a lead only on its own board", async () => {
    const { board: other } = await owner.call("board.create", { name: "Elsewhere", gateway_id: gateway.id });
    const plain = await create(owner, { name: "Plain", board_id: board.id });
    const lead = await create(owner, { name: "Lead", board_id: board.id, is_board_lead: true });
    const asPlain = await server.wire({ token: plain.token });
    const asLead = await server.wire({ token: lead.token });
    await refused(
      create(asPlain, { name: "A", board_id: board.id }),
      "forbidden",
      "Only board leads can create agents",
    );
    await refused(
      create(asLead, { name: "A", board_id: other.id }),
      "forbidden",
      "Board leads can only create agents in their own board",
    );
    const made = await create(asLead, { name: "By the lead", board_id: board.id });
    assert.equal(made.agent.board_id, board.id);
    const implied = await create(asLead, { name: "By the lead too" });
    assert.equal(implied.agent.board_id, board.id);
    await server.database`update agents set board_id = null where id = ${lead.agent.id}`;
    await refused(
      create(asLead, { name: "B", board_id: board.id }),
      "forbidden",
      "Board lead must be assigned to a board",
    );
  });

  await t.test("P6 a plain member and a session without a token create nobody", async () => {
    const member = await server.addOrganization("Members");
    await server.database`update members set role = 'member' where user_id = ${member.ownerId}`;
    await refused(create(await server.wire({ token: member.token }), { name: "A" }), "forbidden");
    await refused(create(await server.wire({ token: null }), { name: "A", board_id: board.id }), "forbidden");
    await server.database`update members set role = 'admin' where user_id = ${member.ownerId}`;
    const admin = await server.wire({ token: member.token });
    const own = await server.board(admin);
    assert.equal((await create(admin, { name: "A", board_id: own.board.id })).agent.status, "provisioning");
  });

  await t.test("P7 the board must be named and be there", async () => {
    await refused(create(owner, { name: "A" }), "unprocessable", "board_id is required");
    await refused(create(owner, { name: "A", board_id: null }), "unprocessable", "board_id is required");
    await refused(create(owner, { name: "A", board_id: randomUUID() }), "not_found", "Board not found");
  });

  await t.test("P8 the board's gateway must have what its kind needs", async () => {
    const { board: bare } = await owner.call("board.create", { name: "No gateway" });
    await refused(create(owner, { name: "A", board_id: bare.id }), "unprocessable", /gateway_id/);
    for (const missing of ["url", "main_session_key", "workspace_root"]) {
      const { board: unfit } = await managedBoard(owner, { [missing]: null });
      await refused(
        create(owner, { name: "A", board_id: unfit.id }),
        "unprocessable",
        `Gateway ${missing} is required`,
      );
    }
  });
}

/** What a name and the settings become. */
async function namesAndSettings(t: TestContext, server: TestServer, owner: Wire) {
  const { gateway, board } = await server.board(owner);
  const create = (name: unknown, fields: object = {}) =>
    owner.call("agent.create", { name, board_id: board.id, ...fields });

  await t.test("P9 the name is trimmed and must not be empty", async () => {
    const { agent } = await create("  Ada Lovelace \t");
    assert.equal(agent.name, "Ada Lovelace");
    assert.equal(agent.openclaw_session_id, "agent:ada-lovelace:main");
    for (const name of ["", "  ", 7, null, "a\u0000b", "two\nlines", "x".repeat(201)])
      await refused(create(name), "invalid_params", /name/);
  });

  await t.test("P9 a name is taken on its board without regard to case", async () => {
    const message = "An agent with this name already exists on this board.";
    await refused(create("ADA lovelace"), "conflict", message);
    await create("ÉCLAIR");
    await refused(create("éclair"), "conflict", message);
  });

  await t.test("P9 a name is taken among all boards of its gateway", async () => {
    const { board: second } = await owner.call("board.create", { name: "Second", gateway_id: gateway.id });
    await refused(
      create("ada lovelace", { board_id: second.id }),
      "conflict",
      "An agent with this name already exists in this gateway workspace.",
    );
    const { board: elsewhere } = await server.board(owner);
    assert.equal(
      (await create("Ada Lovelace", { board_id: elsewhere.id })).agent.openclaw_session_id,
      "agent:ada-lovelace:main",
    );
  });

  await t.test("P9 another name with the same session key is refused", async () => {
    const message =
      "This agent name would collide with an existing workspace session key. Pick a different name.";
    await refused(create("Ada  --  Lovelace!"), "conflict", message);
    const { board: withMain } = await managedBoard(owner, { main_session_key: "agent:chief:main" });
    await refused(create("Chief", { board_id: withMain.id }), "conflict", message);
  });

  await t.test("P9 a name without letters gets a random session key", async () => {
    const [one, other] = [await create("???"), await create("!!!")];
    assert.match(one.agent.openclaw_session_id, /^agent:[0-9a-f]{8,}:main$/);
    assert.notEqual(one.agent.openclaw_session_id, other.agent.openclaw_session_id);
  });

  await t.test("P9 percent and underscore are ordinary characters", async () => {
    await create("load 50%");
    await create("load 500");
    await create("a_b");
    await create("axb");
    const { items } = await owner.call("agent.list", { name: "a_b", board_id: board.id });
    assert.deepEqual(
      items.map((item: Message) => item.name),
      ["a_b"],
    );
    const half = await owner.call("agent.list", { name: "50%", board_id: board.id });
    assert.deepEqual(
      half.items.map((item: Message) => item.name),
      ["load 50%"],
    );
    const { created } = await owner.call("agent.heartbeat_or_create", { name: "%", board_id: board.id });
    assert.equal(created, true);
  });

  await t.test("P9 two creates of one name at once, twenty times: one wins, one is refused", async () => {
    const other = await server.wire({ codec: "msgpack" });
    for (let round = 0; round < 20; round++) {
      const params = { name: `Twin ${round}`, board_id: board.id };
      const shouting = { ...params, name: params.name.toUpperCase() };
      const answers = await Promise.all([
        owner.ask({ method: "agent.create", params }),
        other.ask({ method: "agent.create", params: shouting }),
      ]);
      const lost = answers.filter(({ error }) => error);
      assert.equal(lost.length, 1, JSON.stringify(answers));
      assert.equal(lost[0].error.data.reason, "conflict");
      const { total } = await owner.call("agent.list", { name: params.name, board_id: board.id, limit: 500 });
      assert.equal(total, 1);
    }
  });

  await t.test(
    "P10 profile values become text, lists are joined, empty entries go; templates are trimmed",
    async () => {
      const { agent } = await create("Profiled", {
        identity_profile: {
          role: "  scout ",
          skills: ["maps", " ", "tea "],
          age: 7,
          none: null,
          empty: " ",
          list: [],
        },
        identity_template: "  You are {{ name }}. \n",
        soul_template: "   ",
      });
      assert.deepEqual(agent.identity_profile, { role: "scout", skills: "maps, tea", age: "7" });
      assert.equal(agent.identity_template, "You are {{ name }}.");
      assert.equal(agent.soul_template, null);
      assert.deepEqual(agent.heartbeat_config, { every: "10m", target: "none" });
    },
  );

  await t.test("P10 a heartbeat_config is filled up, and its interval must be one", async () => {
    const { agent } = await create("Paced", { heartbeat_config: { every: "30s" } });
    assert.deepEqual(agent.heartbeat_config, { every: "30s", target: "none" });
    for (const every of ["soon", "10ms", 30, ""])
      await refused(create("Unpaced", { heartbeat_config: { every } }), "invalid_params", /every/);
  });
}

test("creating agents", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  await whoAndWhere(t, server, owner);
  await namesAndSettings(t, server, owner);

  await t.test("B3 a refused transition leaves neither row nor event, and nobody hears of it", async () => {
    const watcher = await server.wire();
    await watcher.call("subscribe", { topic: "activity" });
    await watcher.call("subscribe", { topic: "agents" });
    const { board } = await server.board(owner);
    const [before] = await server.database`select count(*)::int as events from activity`;
    await server.database`
      create function refuse_event() returns trigger language plpgsql as
      $$ begin raise exception 'no entry' using errcode = '23514', constraint = 'test_entry'; end $$`;
    await server.database`
      create trigger refuse before insert on activity for each row
      when (new.type = 'agent.created') execute function refuse_event()`;
    await refused(owner.call("agent.create", { name: "Atom", board_id: board.id }), "internal");
    await server.database`drop trigger refuse on activity`;
    const [rows] = await server.database`
      select (select count(*)::int from activity) as events, (select count(*)::int from agents where name = 'Atom') as agents`;
    assert.deepEqual({ ...rows }, { events: before?.events, agents: 0 });
    const { agent } = await owner.call("agent.create", { name: "Atom", board_id: board.id });
    await watcher.pushed(agent.id, "the one that was committed", () => true);
    await watcher.next("its entry", (m) => m.params.topic === "activity" && m.params.upserts?.length > 0);
    const told = watcher.received.flatMap((m) => (m.method === "change" ? m.params.upserts : []));
    const ids = told.flatMap((item: Message) => (item.name === "Atom" ? [item.id] : []));
    assert.deepEqual([...new Set(ids)], [agent.id]);
    const entries = told.filter((item: Message) => item.message === "Atom was created.");
    assert.deepEqual(
      entries.map((entry: Message) => entry.agent_id),
      [agent.id],
    );
  });
});
