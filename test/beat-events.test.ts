import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { insertBeatEvents } from "../src/store/beat-events.ts";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

test("events of many heartbeats at once", async (t) => {
  const server = await startTestServer(t, { environment: { MUSTER_HEARTBEAT_EVENTS: "every" } });
  const { database, clock } = server;
  const owner = await server.wire();
  const boards = [(await server.board(owner)).board, (await server.board(owner)).board];
  const create = async (name: string, board: Message) => {
    const { agent, token } = await owner.call("agent.create", { name, board_id: board.id });
    const [row] = await database<{ no: number }[]>`select no from agents where id = ${agent.id}`;
    return { id: String(agent.id), no: row?.no ?? 0, token: String(token) };
  };
  const [ada, bea] = [await create("Ada", boards[0]), await create("Bea 100%", boards[1])];
  const list = async (agent: { id: string }): Promise<Message[]> =>
    (await owner.call("activity.list", { agent_id: agent.id, type: "agent.heartbeat" })).items;
  const now = clock.now();

  await t.test("P20 an event is what the machine leaves for a heartbeat", async () => {
    const wire = await server.wire({ token: bea.token });
    // The first comes from the change of status.
    await wire.call("heartbeat");
    await wire.call("heartbeat");
    const [machines] = await list(bea);
    await insertBeatEvents(database, { batch: randomUUID(), nos: [bea.no], times: [now] });
    const events = await list(bea);
    assert.equal(events.length, 3);
    assert.notEqual(events[0]?.id, machines?.id);
    assert.deepEqual({ ...events[0], id: "" }, { ...machines, id: "" });
  });

  await t.test("P20 each beat leaves one, in its order, also two of one agent at one instant", async () => {
    const nos = [bea.no, ada.no, ada.no, bea.no, ada.no];
    const times = [now + 5, now + 7, now + 7, now + 1, now + 90_061_999];
    const [before] = await database<{ seq: number }[]>`select max(seq) as seq from activity`;
    await insertBeatEvents(database, { batch: randomUUID(), nos, times });
    const rows = await database`
      select agent_id, created_at, board_id, organization_id from activity where seq > ${before?.seq ?? 0} order by seq`;
    assert.deepEqual(
      rows.map((row) => ({ ...row })),
      nos.map((no, place) => ({
        agent_id: no === ada.no ? ada.id : bea.id,
        created_at: new Date(times[place] ?? 0),
        board_id: boards[no === ada.no ? 0 : 1].id,
        organization_id: server.organization.id,
      })),
    );
  });

  await t.test("a batch that is written again stays as it is", async () => {
    const events = { batch: randomUUID(), nos: [ada.no, bea.no, ada.no], times: [now, now, now] };
    const count = async () => {
      const [row] = await database<{ count: number }[]>`select count(*) from activity`;
      return row?.count ?? 0;
    };
    const before = await count();
    for (let times = 0; times < 2; times++) await insertBeatEvents(database, events);
    assert.equal(await count(), before + 3);
    await insertBeatEvents(database, { ...events, batch: randomUUID() });
    assert.equal(await count(), before + 6);
  });

  await t.test("a beat of an agent that is gone leaves none, the others do; no beats, nothing", async () => {
    const gone = await create("Cia", boards[0]);
    await owner.call("agent.delete", { agent_id: gone.id, wait: true });
    const before = (await list(ada)).length;
    await insertBeatEvents(database, { batch: randomUUID(), nos: [gone.no, ada.no], times: [now, now] });
    await insertBeatEvents(database, { batch: randomUUID(), nos: [], times: [] });
    assert.equal((await list(ada)).length, before + 1);
    assert.equal((await list(gone)).length, 0);
  });

  await t.test("thousands at once are all there, each with its own id", async () => {
    const COUNT = 20_000;
    const nos = Array.from({ length: COUNT }, (_, n) => (n % 2 === 0 ? ada.no : bea.no));
    const times = Array.from({ length: COUNT }, (_, n) => now + 3_600_000 + n / 4);
    await insertBeatEvents(database, { batch: randomUUID(), nos, times });
    const [row] = await database`
      select count(distinct id) as ids, min(created_at) as first, max(created_at) as last
      from activity where created_at >= ${new Date(now + 3_600_000)} and created_at < ${new Date(now + 3_610_000)}`;
    assert.deepEqual(
      { ...row },
      {
        ids: COUNT,
        first: new Date(now + 3_600_000),
        last: new Date(now + 3_605_000),
      },
    );
  });
});

test("P20 an agent that beats many times before a flush leaves one event for it", async (t) => {
  const server = await startTestServer(t, {
    environment: { MUSTER_HEARTBEAT_EVENTS: "every", MUSTER_COMMIT_INTERVAL: "100ms" },
  });
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Ada", board_id: board.id });
  const wire = await server.wire({ token });
  await wire.call("heartbeat");
  const COUNT = 5_000;
  for (let n = 1; n <= COUNT; n++) wire.send({ method: "heartbeat", params: { n } });
  await wire.next("the last acknowledgement", ({ method, params }) => method === "ack" && params.n === COUNT);
  const [row] = await server.database<
    { count: number }[]
  >`select count(*) from activity where agent_id = ${agent.id}`;
  assert.ok((row?.count ?? 0) < COUNT / 50, `${row?.count} events of ${COUNT} beats`);
  const before = row?.count ?? 0;
  wire.send({ method: "heartbeat", params: { n: COUNT + 1 } });
  await wire.next("one more", ({ method, params }) => method === "ack" && params.n === COUNT + 1);
  const [after] = await server.database<
    { count: number }[]
  >`select count(*) from activity where agent_id = ${agent.id}`;
  assert.equal(after?.count, before + 1);
});
