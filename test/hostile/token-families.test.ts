import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { MOST_GENERATIONS } from "../../src/store/token-families.ts";
import { refused } from "../support/refused.ts";
import { startTestServer } from "../support/server.ts";
import type { Message, Wire } from "../support/wire.ts";

const HOUR_MS = 3_600_000;

async function family(t: TestContext) {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const make = (wire: Wire, name: string, fields: object = {}): Promise<Message> =>
    wire.call("user_token.create", { name, ...fields });
  const drop = (wire: Wire, made: Message): Promise<Message> =>
    wire.call("user_token.delete", { token_id: made.user_token.id });
  return { server, owner, make, drop };
}

test("B26 a token made with a token does not outlive it", async (t) => {
  const { server, owner, make } = await family(t);
  const parent = await make(owner, "parent", { expires_in: "1h" });
  const wire = await server.wire({ token: parent.token });
  const child = await make(wire, "child");
  assert.equal(child.user_token.expires_at, parent.user_token.expires_at);
  const shorter = await make(wire, "shorter", { expires_in: "59m" });
  assert.ok(shorter.user_token.expires_at < parent.user_token.expires_at);
  const error = await refused(make(wire, "longer", { expires_in: "61m" }), "unprocessable", /outlive/);
  assert.ok(error.message.includes(parent.user_token.expires_at), "it says until when it may be good");
  server.clock.advance(HOUR_MS / 2);
  await refused(make(wire, "later", { expires_in: "31m" }), "unprocessable");
  await make(wire, "later", { expires_in: "30m" });

  const { board } = await server.board(owner);
  const enrol = (fields: object = {}) => wire.call("enrolment.create", { board_id: board.id, ...fields });
  assert.equal((await enrol()).enrolment.expires_at, parent.user_token.expires_at);
  await refused(enrol({ expires_in: "31m" }), "unprocessable", /outlive/);

  // Those of a token without an end may last as long as they like.
  assert.equal((await make(owner, "lasting")).user_token.expires_at, null);
  await make(owner, "long", { expires_in: "36500d" });
  server.clock.advance(HOUR_MS);
  for (const { token } of [child, shorter])
    await refused((await server.connect()).hello(token), "unauthenticated", /expired/);
});

test("B26 deleting a token takes along all that were made with it, ends what they opened, and says how many", async (t) => {
  const { server, owner, make, drop } = await family(t);
  const { board } = await server.board(owner);
  const parent = await make(owner, "parent");
  const wire = await server.wire({ token: parent.token });
  const child = await make(wire, "child");
  const childs = await server.wire({ token: child.token });
  const grandchild = await make(childs, "grandchild");
  const grandchilds = await server.wire({ token: grandchild.token });
  const enrolment = await grandchilds.call("enrolment.create", { board_id: board.id });
  const { token: agents } = await owner.call("agent.enroll", { token: enrolment.token, name: "Enrolled" });
  const agent = await server.wire({ token: agents });
  const sibling = await make(owner, "sibling");

  assert.deepEqual(await drop(owner, parent), { ok: true, deleted: 4 });
  for (const each of [wire, childs, grandchilds]) assert.equal((await each.closing()).code, 4403);
  for (const { token } of [parent, child, grandchild])
    await refused((await server.connect()).hello(token), "unauthenticated", /revoked/);
  await refused(
    owner.call("agent.enroll", { token: enrolment.token, name: "Late" }),
    "unauthenticated",
    /revoked/,
  );
  // The agent that came by it has a token of its own.
  await agent.call("heartbeat");
  await server.wire({ token: sibling.token });
  assert.deepEqual(await drop(owner, parent), { ok: true, deleted: 0 });
  assert.deepEqual(await drop(owner, sibling), { ok: true, deleted: 1 });
});

test("B26 nothing is made with a token that is being deleted", async (t) => {
  const { server, owner, make, drop } = await family(t);
  for (let round = 0; round < 5; round++) {
    const parent = await make(owner, "parent");
    const wires = await Promise.all([1, 2, 3].map(() => server.wire({ token: parent.token })));
    const makes = wires.flatMap((wire) => [make(wire, "one"), make(wire, "other")]);
    const [{ deleted }] = await Promise.all([drop(owner, parent), Promise.allSettled(makes)]);
    assert.ok(deleted >= 1 && deleted <= 7, `${deleted}`);
    const { total } = await owner.call("user_token.list");
    assert.equal(total, 1, "only the owner's own is left");
  }
});

test("B26 a line of tokens has an end, and others' tokens are none of one's business", async (t) => {
  const { server, owner, make, drop } = await family(t);
  let wire = owner;
  let eldest: Message;
  for (let generation = 2; generation <= MOST_GENERATIONS; generation++) {
    const made = await make(wire, `generation ${generation}`);
    eldest ??= made;
    wire = await server.wire({ token: made.token });
  }
  await refused(make(wire, "one more"), "unprocessable", /at most 16/);
  const neighbours = await server.addOrganization("Neighbours");
  const they = await server.wire({ token: neighbours.token });
  assert.deepEqual(await drop(they, eldest), { ok: true, deleted: 0 });
  assert.deepEqual(await drop(owner, eldest), { ok: true, deleted: MOST_GENERATIONS - 1 });
});
