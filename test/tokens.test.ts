import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

test("tokens", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  /** A stranger's hello: refused, and the socket closed. */
  const turnedAway = async (token: string, words?: RegExp) => {
    const wire = await server.connect();
    await refused(wire.hello(token), "unauthenticated", words);
    assert.equal((await wire.closing()).code, 4401);
  };

  await t.test("B14 a token has its kind, an id and 256 random bits; only its SHA-256 is kept", async () => {
    const { user_token, token } = await owner.call("user_token.create", { name: "Laptop" });
    const { token: agentToken } = await owner.call("agent.create", { name: "Hashed", board_id: board.id });
    const { token: enrolToken } = await owner.call("enrolment.create", { board_id: board.id });
    assert.match(token, /^mst_user_[0-9a-f]{24}_[\w-]{43}$/);
    assert.match(agentToken, /^mst_agent_[0-9a-f]{24}_[\w-]{43}$/);
    assert.match(enrolToken, /^mst_enrol_[0-9a-f]{24}_[\w-]{43}$/);
    assert.ok(token.includes(`_${user_token.id}_`));
    const rows = await server.database`
      select hash from user_tokens union all select hash from agent_tokens union all select hash from enrolments`;
    const kept = rows.map(({ hash }) => hash.toString("hex"));
    for (const each of [token, agentToken, enrolToken])
      assert.ok(kept.includes(createHash("sha256").update(each).digest("hex")));
  });

  await t.test("B14 a token is shown once", async () => {
    const { user_token, token } = await owner.call("user_token.create", { name: "Once" });
    const { agent, token: agentToken } = await owner.call("agent.create", {
      name: "Once",
      board_id: board.id,
    });
    const { token: enrolToken } = await owner.call("enrolment.create", { board_id: board.id });
    const later = await Promise.all([
      ...["user_token.list", "agent.list", "enrolment.list", "activity.list"].map((method) =>
        owner.call(method),
      ),
      owner.call("agent.get", { agent_id: agent.id }),
    ]);
    assert.ok(JSON.stringify(later).includes(user_token.id));
    for (const each of [token, agentToken, enrolToken])
      assert.ok(!JSON.stringify(later).includes(each.slice(-43)));
  });

  await t.test(
    "B14 what only looks like a token is refused, as is a right id with a wrong secret",
    async () => {
      const { token } = await owner.call("user_token.create", { name: "Real" });
      const last = token.endsWith("A") ? "E" : "A";
      await turnedAway(`${token.slice(0, -1)}${last}`, /unknown or was revoked/);
      await turnedAway(token.replace("mst_user", "mst_agent"));
      await turnedAway(`mst_user_${"0".repeat(24)}_${"A".repeat(43)}`);
      await turnedAway("nonsense");
      await turnedAway("");
      const { token: enrolToken } = await owner.call("enrolment.create", { board_id: board.id });
      await turnedAway(enrolToken, /agent\.enroll only/);
      const bearer = await server.connect({ headers: { authorization: `Bearer ${token}` } });
      assert.equal((await bearer.hello()).principal.kind, "user");
    },
  );

  await t.test("B14 a user's revoked token closes its sockets and opens none", async () => {
    const { user_token, token } = await owner.call("user_token.create", { name: "Lost phone" });
    const [one, two] = [await server.wire({ token }), await server.wire({ token, codec: "msgpack" })];
    assert.deepEqual(await owner.call("user_token.delete", { token_id: user_token.id }), {
      ok: true,
      deleted: 1,
    });
    assert.equal((await one.closing()).code, 4403);
    assert.equal((await two.closing()).code, 4403);
    assert.equal(owner.closed, undefined);
    await turnedAway(token);
  });

  await t.test("B14 an expiring token ends with its time, and so do its sockets", async () => {
    const { user_token, token } = await owner.call("user_token.create", {
      name: "Visitor",
      expires_in: "1h",
    });
    assert.equal(Date.parse(user_token.expires_at), server.clock.now() + 60 * 60_000);
    const visitor = await server.wire({ token });
    server.clock.advance(59 * 60_000);
    assert.equal((await visitor.call("organization.get")).organization.id, server.organization.id);
    server.clock.advance(2 * 60_000);
    assert.equal((await visitor.closing()).code, 4403);
    await turnedAway(token, /expired/);
  });

  await t.test("B14 a rotated agent token: the old one is good until the new one is used", async () => {
    const { agent, token: old } = await owner.call("agent.create", { name: "Rotated", board_id: board.id });
    const self = await server.wire({ token: old });
    await self.call("heartbeat");
    const { token } = await owner.call("agent.token.rotate", { agent_id: agent.id });
    assert.notEqual(token, old);
    const config = await self.next("the new token", (m) => m.method === "config");
    assert.equal(config.params.token, token);
    assert.equal((await self.call("heartbeat")).agent.status, "online");
    const fresh = await server.wire({ token });
    assert.equal((await self.closing()).code, 4403);
    await turnedAway(old);
    assert.equal((await fresh.call("heartbeat")).agent.id, agent.id);
    const { items } = await owner.call("activity.list", { agent_id: agent.id, type: "agent.token.rotated" });
    assert.equal(items.length, 1);
  });

  await t.test("B14 a token that was rotated twice without use leaves the one in use good", async () => {
    const { agent, token: used } = await owner.call("agent.create", { name: "Hasty", board_id: board.id });
    const self = await server.wire({ token: used });
    const { token: skipped } = await owner.call("agent.token.rotate", { agent_id: agent.id });
    const { token: newest } = await owner.call("agent.token.rotate", { agent_id: agent.id });
    assert.equal((await self.call("heartbeat")).agent.id, agent.id);
    await server.wire({ token: newest });
    for (const dead of [used, skipped]) await turnedAway(dead);
  });

  await t.test("B14 an attached channel with an old token is told that it is revoked", async () => {
    const { agent, token } = await owner.call("agent.create", { name: "Hosted", board_id: board.id });
    const host = await server.wire({ token: null });
    const { ch } = await host.call("agent.attach", { token });
    const { token: fresh } = await owner.call("agent.token.rotate", { agent_id: agent.id });
    await server.wire({ token: fresh });
    const told = await host.next("the end of the channel", (m) => m.method === "detached");
    assert.deepEqual(told.params, { ch, reason: "revoked" });
    await refused(host.call("agent.attach", { token: server.organization.token }), "unauthenticated");
    assert.equal(host.closed, undefined);
  });
});

test("enrolment", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const device = await server.wire({ token: null, codec: "msgpack" });
  const enrol = (token: string, name: string, fields: object = {}): Promise<Message> =>
    device.call("agent.enroll", { token, name, ...fields });

  await t.test("B15 a device without a sign-in registers itself by name and has its own token", async () => {
    const { token } = await owner.call("enrolment.create", { board_id: board.id });
    const made = await enrol(token, "Sensor 1", { heartbeat_config: { every: "30s" } });
    assert.deepEqual(
      [made.agent.board_id, made.agent.name, made.agent.status],
      [board.id, "Sensor 1", "provisioning"],
    );
    assert.equal(made.agent.heartbeat_config.every, "30s");
    const { ch } = await device.call("agent.attach", { token: made.token });
    assert.equal((await device.call("heartbeat", { ch })).agent.status, "online");
  });

  await t.test("B15 the same name again is the same agent only with that agent's own token", async () => {
    const { token } = await owner.call("enrolment.create", { board_id: board.id });
    const made = await enrol(token, "Sensor 2");
    await refused(enrol(token, "SENSOR 2"), "conflict", /already exists/);
    const other = await enrol(token, "Sensor 3");
    const asOther = await server.wire({ token: other.token });
    await refused(asOther.call("agent.enroll", { token, name: "Sensor 2" }), "conflict");
    const asItself = await server.wire({ token: made.token });
    const again = await asItself.call("agent.enroll", { token, name: "sensor 2" });
    assert.equal(again.agent.id, made.agent.id);
    assert.notEqual(again.token, made.token);
    assert.equal((await server.wire({ token: again.token })).closed, undefined);
  });

  await t.test("B15 an enrolment is good for so many uses, also when all come at once", async () => {
    const { enrolment, token } = await owner.call("enrolment.create", { board_id: board.id, uses: 3 });
    assert.equal(enrolment.uses_left, 3);
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        device.ask({ method: "agent.enroll", params: { token, name: `Rush ${n}` } }),
      ),
    );
    assert.equal(answers.filter(({ result }) => result).length, 3, JSON.stringify(answers));
    assert.deepEqual(
      [...new Set(answers.flatMap(({ error }) => (error ? [error.data.reason] : [])))],
      ["forbidden"],
    );
    await refused(enrol(token, "Late"), "forbidden", /as often as it may be/);
    const { total } = await owner.call("agent.list", { board_id: board.id, name: "rush" });
    assert.equal(total, 3);
  });

  await t.test("B15 a name that is refused costs no use", async () => {
    const { token } = await owner.call("enrolment.create", { board_id: board.id, uses: 1 });
    await refused(enrol(token, "Sensor 1"), "conflict");
    assert.equal((await enrol(token, "Sensor 9")).agent.name, "Sensor 9");
  });

  await t.test("B15 an enrolment expires and can be revoked", async () => {
    const short = await owner.call("enrolment.create", { board_id: board.id, expires_in: "10m" });
    const revoked = await owner.call("enrolment.create", { board_id: board.id });
    await owner.call("enrolment.delete", { enrolment_id: revoked.enrolment.id });
    await refused(enrol(revoked.token, "Nobody"), "unauthenticated");
    server.clock.advance(10 * 60_000);
    await refused(enrol(short.token, "Nobody"), "unauthenticated", /expired/);
    await refused(enrol("nonsense", "Nobody"), "unauthenticated");
    await refused(enrol(server.organization.token, "Nobody"), "unauthenticated");
    const { items } = await owner.call("enrolment.list", { board_id: board.id });
    assert.ok(!items.some((item: Message) => item.id === revoked.enrolment.id));
  });

  await t.test("B15 enrolments are made by owners and admins, for boards that take such agents", async () => {
    const { board: local } = await server.board(owner, "local");
    await refused(owner.call("enrolment.create", { board_id: local.id }), "unprocessable", /direct/);
    await refused(device.call("enrolment.create", { board_id: board.id }), "forbidden");
    const { token } = await owner.call("enrolment.create", { board_id: board.id });
    const asAgent = await server.wire({ token: (await enrol(token, "Ambitious")).token });
    await refused(asAgent.call("enrolment.create", { board_id: board.id }), "forbidden");
  });
});
