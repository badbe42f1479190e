import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestServer } from "./support/server.ts";

const setRole = (role: string) => ({ role });

test("B11 losing access ends the subscription within a second, and the role counts from then on", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const topic = `agents:board:${board.id}`;
  await owner.call("subscribe", { topic });
  await owner.call("subscribe", { topic: "activity" });
  await server.database`update members set ${server.database(setRole("member"))} where user_id = ${server.organization.ownerId}`;
  server.clock.advance(1_000);
  await owner.next("the end of the topic", (m) => m.method === "end" && m.params.topic === topic);
  const ends = await owner.next(
    "the end of the log",
    (m) => m.method === "end" && m.params.topic === "activity",
  );
  assert.equal(ends.params.reason, "forbidden");
  for (const [method, params] of [
    ["subscribe", { topic }],
    ["agent.create", { name: "A", board_id: board.id }],
  ] as const)
    assert.equal((await owner.ask({ method, params })).error.data.reason, "forbidden");
  await server.database`update members set ${server.database(setRole("admin"))} where user_id = ${server.organization.ownerId}`;
  server.clock.advance(1_000);
  const { agent } = await owner.call("organization.get").then(async () => {
    for (;;) {
      const answer = await owner.ask({ method: "agent.create", params: { name: "A", board_id: board.id } });
      if (!answer.error) return answer.result;
    }
  });
  assert.equal(agent.name, "A");
});

test("B14 a user who is no member any more is dismissed", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  await server.database`delete from members where user_id = ${server.organization.ownerId}`;
  server.clock.advance(1_000);
  assert.equal((await owner.closing()).code, 4403);
  const again = await server.connect();
  const { error } = await again.ask({ method: "hello", params: { token: server.organization.token } });
  assert.equal(error.data.reason, "unauthenticated");
});
