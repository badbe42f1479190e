import assert from "node:assert/strict";
import { test } from "node:test";
import { assertError, assertLives } from "../support/hostile.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import type { Message, Wire } from "../support/wire.ts";

const CODECS = ["json", "msgpack"] as const;
const GET = { method: "organization.get" };
/** What a batch's answers may have together, and what may be under way when that is reached. */
const MOST_ANSWER_BYTES = 8 * 1_048_576;

const requests = (count: number, message: object = GET) =>
  Array.from({ length: count }, (_, id) => ({ id: `r${id}`, ...message }));

async function answersTo(wire: Wire, batch: readonly object[]): Promise<Message[]> {
  const from = wire.received.length;
  wire.send(batch);
  await wire.next("the batch's answers", () => wire.received.length >= from + batch.length);
  return wire.received.slice(from);
}

/** Tasks whose descriptions are six times as long on the wire as in the database. */
async function heavyTasks(server: TestServer, count: number): Promise<string> {
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const description = "\u0001".repeat(20_000);
  for (let i = 0; i < count; i++)
    await owner.call("task.create", { board_id: board.id, title: `Task ${i}`, description });
  return board.id;
}

test("a batch of as many as may be is answered whole, and so are as many requests one by one", async (t) => {
  const server = await startTestServer(t);
  for (const codec of CODECS) {
    const wire = await server.wire({ codec });
    const answers = await answersTo(wire, requests(1_000));
    assert.ok(answers.every(({ result }) => result.organization.id === server.organization.id));
    assert.equal(new Set(answers.map(({ id }) => id)).size, 1_000);
    const single = await Promise.all(Array.from({ length: 1_000 }, () => wire.ask(GET)));
    assert.ok(single.every(({ result }) => result));
  }
});

test("of more than may wait the rest is rate_limited, and the session goes on", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.wire();
  const first = wire.next("the first batch", () => wire.received.length >= 2_000);
  wire.send(requests(1_000));
  wire.send(requests(1_000));
  await first;
  const refused = wire.received.filter(({ error }) => error);
  for (const answer of refused) assertError(answer, "rate_limited");
  assert.ok(refused.length < 1_000, `${refused.length} of 2,000`);
  await assertLives(server, wire);
});

test("requests of one session begin in the order in which they came", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.wire();
  const { board } = await server.board(wire);
  const batch = Array.from({ length: 300 }, (_, place) => ({
    id: place,
    method: "task.create",
    params: { board_id: board.id, title: `T${place}` },
  }));
  const answers = await answersTo(wire, batch);
  assert.ok(answers.every(({ result }) => result));
  // So many are at work at the same time: none begins before all but those in front of it are answered.
  answers.forEach(({ id }, place) => {
    assert.ok(Number(id) < place + 64, `${id} was answered as number ${place}`);
  });
});

test("the answers of a batch are bounded in bytes, whatever the rows hold", async (t) => {
  const server = await startTestServer(t);
  const board_id = await heavyTasks(server, 24);
  for (const codec of CODECS) {
    const wire = await server.wire({ codec });
    let bytes = 0;
    wire.socket.on("message", (data: Buffer) => {
      bytes = Math.max(bytes, data.length);
    });
    const list = { method: "task.list", params: { board_id, limit: 500 } };
    const twelve = await answersTo(wire, requests(12, list));
    for (const { result } of twelve) {
      assert.ok(result.items.length >= 1 && JSON.stringify(result.items).length <= 600_000);
      assert.ok(result.next_cursor, "a page that ends early says how it goes on");
    }
    const many = await answersTo(wire, requests(200, list));
    const refused = many.filter(({ error }) => error);
    for (const answer of refused) assertError(answer, "rate_limited");
    assert.ok(refused.length > 0 && refused.length < 200, `${refused.length} of 200 in ${codec}`);
    assert.ok(bytes <= MOST_ANSWER_BYTES, `${bytes} bytes in ${codec}`);
    await assertLives(server, wire);
  }
});

test("so are those of agents with heavy templates, asked for one by one", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const template = `x${"\u0001".repeat(99_998)}x`;
  const params = { name: "Heavy", board_id: board.id, soul_template: template };
  const { agent } = await owner.call("agent.create", params);
  await owner.call("agent.update", { agent_id: agent.id, identity_template: template });
  for (const codec of CODECS) {
    const wire = await server.wire({ codec });
    let bytes = 0;
    wire.socket.on("message", (data: Buffer) => {
      bytes = Math.max(bytes, data.length);
    });
    const get = { method: "agent.get", params: { agent_id: agent.id } };
    const answers = await answersTo(wire, requests(300, get));
    const refused = answers.filter(({ error }) => error);
    for (const answer of refused) assertError(answer, "rate_limited");
    assert.ok(refused.length > 0 && refused.length < 300, `${refused.length} of 300 in ${codec}`);
    assert.ok(bytes <= MOST_ANSWER_BYTES, `${bytes} bytes in ${codec}`);
    await assertLives(server, wire);
  }
});

test("pages that end early lead through the whole list", async (t) => {
  const server = await startTestServer(t);
  const board_id = await heavyTasks(server, 24);
  const wire = await server.wire();
  const titles: string[] = [];
  let cursor: string | undefined;
  do {
    const page: Message = await wire.call("task.list", { board_id, limit: 500, cursor });
    assert.equal(page.total, 24);
    titles.push(...page.items.map(({ title }: Message) => title));
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
  assert.equal(titles.length, 24);
  assert.equal(new Set(titles).size, 24);
});

test("many lists at once wait for a peer that reads slowly, and all are answered", async (t) => {
  const server = await startTestServer(t);
  const board_id = await heavyTasks(server, 6);
  const wire = await server.wire();
  wire.socket.pause();
  const asked = Array.from({ length: 100 }, () =>
    wire.ask({ method: "task.list", params: { board_id, limit: 500 } }),
  );
  // The server has begun what it may by the time that another session is answered.
  await (await server.wire()).call("organization.get");
  wire.socket.resume();
  const answers = await Promise.all(asked);
  assert.ok(answers.every(({ result }) => result.items.length > 0));
});

test("a batch of nothing but rubbish gets one error, one with some gets one for all of it", async (t) => {
  const server = await startTestServer(t);
  for (const codec of CODECS) {
    const wire = await server.wire({ codec });
    const from = wire.received.length;
    wire.send(Array(500).fill(7));
    wire.send([1, {}, null, "x", { id: "good", ...GET }, { id: "bad", method: 7 }]);
    await wire.next("the answers", () => wire.received.length >= from + 4);
    await assertLives(server, wire);
    const answers = wire.received.slice(from);
    assert.equal(answers.length, 4);
    for (const answer of answers.filter(({ id }) => id === null)) assertError(answer, "invalid_request");
    assertError(
      answers.find(({ id }) => id === "bad"),
      "invalid_request",
    );
    assert.ok(answers.find(({ id }) => id === "good").result);
  }
});

test("who sends rubbish on and on is closed with 4029, whatever sort of rubbish it is", async (t) => {
  const server = await startTestServer(t);
  const neighbour = await server.wire();
  for (const rubbish of [
    "{",
    "[]",
    "[1,2,3]",
    "{}",
    '{"id":1}',
    '{"id":1,"method":7}',
    `[${"0,".repeat(60_000)}0]`,
  ]) {
    const wire = await server.wire();
    for (let i = 0; i <= 1_000; i++) wire.sendRaw(rubbish);
    assert.equal((await wire.closing()).code, 4029, rubbish.slice(0, 20));
  }
  await neighbour.call("organization.get");
});
