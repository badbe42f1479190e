import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { MusterError } from "../src/client/index.ts";
import { open, reasonIs, start, value } from "./support/client-fixture.ts";
import { agentRecord, type Handler } from "./support/fake-server.ts";

const subscribed = (offset: number, items: unknown[], more = false) => ({
  topic: "agents",
  epoch: "e1",
  offset,
  items,
  more,
});
const change = (offset: number, upserts: unknown[], removes: string[] = []) => ({
  topic: "agents",
  offset,
  upserts,
  removes,
});

/** A client that watches agents, with its first snapshot taken. */
async function watching(t: TestContext, first: Handler, options: { mostBuffered?: number } = {}) {
  const server = await start(t, { subscribe: first, unsubscribe: () => ({}) });
  const opened = await open(t, server);
  const watch = opened.client.watch("agents", options);
  return { server, watch, first: await value(watch), ...opened };
}

test("B11 a watch gives the snapshot, its pages and the changes between them, even in one packet", async (t) => {
  const { watch, first } = await watching(t, (_params, session) => {
    session.notify("change", change(99, [agentRecord(9)]));
    session.notify("snapshot", { topic: "agents", items: [agentRecord(9)], more: false });
    session.notifyAfterAnswer("change", change(5, [agentRecord(2, { version: 7 })], [agentRecord(4).id]));
    session.notifyAfterAnswer("snapshot", {
      topic: "agents",
      items: [agentRecord(2, { version: 6 }), agentRecord(3), agentRecord(4)],
      more: false,
    });
    session.notifyAfterAnswer("change", change(5, [agentRecord(8)]));
    session.notifyAfterAnswer("change", change(6, [agentRecord(3, { version: 2 })]));
    return subscribed(4, [agentRecord(1)], true);
  });
  assert.ok(first.kind === "snapshot" && first.more);
  assert.deepEqual(
    first.items.map(({ name }) => name),
    ["agent 1"],
  );
  const second = await value(watch);
  assert.ok(second.kind === "change");
  assert.deepEqual([second.offset, second.upserts[0]?.version, second.removes], [5, 7, [agentRecord(4).id]]);
  const third = await value(watch);
  assert.ok(third.kind === "snapshot" && !third.more);
  assert.deepEqual(
    third.items.map(({ name }) => name),
    ["agent 3"],
  );
  const fourth = await value(watch);
  assert.ok(fourth.kind === "change" && fourth.offset === 6);
});

test("B11 a watch resumes after a reconnect: missed changes come, in order, and none twice", async (t) => {
  const { server, watch, clock, states, session } = await watching(t, () => subscribed(4, [agentRecord(1)]));
  session.notify("change", change(5, [agentRecord(1, { version: 2 })]));
  const live = await value(watch);
  assert.ok(live.kind === "change" && live.offset === 5);
  server.handlers.subscribe = ({ since }) => ({
    topic: "agents",
    epoch: "e1",
    offset: 7,
    recovered: true,
    changes: [change(6, [agentRecord(1, { version: 3 })]), change(7, [], [agentRecord(1).id])],
    more: false,
    since,
  });
  session.close();
  clock.advance((await states.next("disconnected")).retryInMs);
  const sixth = await value(watch);
  assert.ok(sixth.kind === "change" && sixth.offset === 6);
  const seventh = await value(watch);
  assert.ok(seventh.kind === "change" && seventh.offset === 7 && seventh.removes.length === 1);
  const again = await server.session(1);
  assert.deepEqual((await again.received("subscribe")).since, { epoch: "e1", offset: 5 });
});

test("B11 a watch that cannot be resumed says so by a reset", async (t) => {
  const { server, watch, clock, states, session } = await watching(t, () => subscribed(4, [agentRecord(1)]));
  server.handlers.subscribe = () => ({ ...subscribed(1, [agentRecord(2)]), epoch: "e2", recovered: false });
  session.close();
  clock.advance((await states.next("disconnected")).retryInMs);
  const reset = await value(watch);
  assert.ok(reset.kind === "reset");
  assert.deepEqual(
    reset.items.map(({ name }) => name),
    ["agent 2"],
  );
  const second = await server.session(1);
  second.notify("reset", { ...subscribed(9, [agentRecord(3)]), epoch: "e3" });
  const told = await value(watch);
  assert.ok(told.kind === "reset" && told.items[0]?.name === "agent 3");
});

test("B11 half a snapshot is never resumed from", async (t) => {
  const { server, watch, clock, states, session } = await watching(t, () =>
    subscribed(4, [agentRecord(1)], true),
  );
  server.handlers.subscribe = () => subscribed(4, [agentRecord(1), agentRecord(2)]);
  session.close();
  clock.advance((await states.next("disconnected")).retryInMs);
  assert.equal((await value(watch)).kind, "reset");
  assert.equal((await (await server.session(1)).received("subscribe")).since, undefined);
});

test("B11 a gap in the offsets is asked for again", async (t) => {
  const { server, watch, session } = await watching(t, () => subscribed(4, [agentRecord(1)]));
  server.handlers.subscribe = () => ({
    topic: "agents",
    epoch: "e1",
    offset: 6,
    recovered: true,
    changes: [change(5, [agentRecord(5)]), change(6, [agentRecord(6)])],
    more: false,
  });
  session.notify("change", change(6, [agentRecord(6)]));
  const fifth = await value(watch);
  assert.ok(fifth.kind === "change" && fifth.offset === 5);
  assert.deepEqual((await session.received("subscribe", 1)).since, { epoch: "e1", offset: 4 });
});

test("B11 a slow reader loses what waits for it and gets a reset when it reads on", async (t) => {
  const { server, watch, session } = await watching(t, () => subscribed(0, []), { mostBuffered: 3 });
  server.handlers.subscribe = () => subscribed(50, [agentRecord(7)]);
  for (let offset = 1; offset <= 4; offset++) session.notify("change", change(offset, [agentRecord(offset)]));
  await session.received("unsubscribe");
  assert.equal(session.count("subscribe"), 1);
  const reset = await value(watch);
  assert.ok(reset.kind === "reset" && reset.items[0]?.name === "agent 7");
});

test("last-seen times wait as one, the newer wins", async (t) => {
  const { watch, session, client } = await watching(t, () => subscribed(0, []));
  session.notify("seen", {
    topic: "agents",
    at: "2026-01-01T00:00:01.000Z",
    agents: [
      ["a", 10],
      ["b", 20],
    ],
  });
  session.notify("seen", { topic: "agents", at: "2026-01-01T00:00:03.000Z", agents: [["b", 5]] });
  await assert.rejects(client.call("nothing"));
  assert.deepEqual(await value(watch), {
    kind: "seen",
    at: "2026-01-01T00:00:03.000Z",
    agents: [
      ["a", 2_010],
      ["b", 5],
    ],
  });
});

test("a watch ends: by the server's word, by a refusal, by leaving the loop, with the client", async (t) => {
  const { watch, session, client, server } = await watching(t, () => subscribed(0, []));
  session.notify("end", { topic: "agents", reason: "access lost" });
  assert.deepEqual(await value(watch), { kind: "end", reason: "access lost" });
  assert.equal((await watch.next()).done, true);

  for await (const step of client.watch("agents")) {
    assert.equal(step.kind, "snapshot");
    await assert.rejects(client.watch("agents").next(), reasonIs("conflict"));
    break;
  }
  await session.received("unsubscribe");

  server.handlers.subscribe = () => {
    throw new MusterError("forbidden", "not yours");
  };
  await assert.rejects(client.watch("agents").next(), reasonIs("forbidden"));

  server.handlers.subscribe = () => new Promise(() => {});
  const last = client.watch("activity").next();
  await session.received("subscribe", 3);
  await client.close();
  assert.equal((await last).done, true);
});

test("a watch outlasts a subscribe that fails for a while", async (t) => {
  let tries = 0;
  const server = await start(t, {
    subscribe: () => {
      tries += 1;
      if (tries === 1) throw new MusterError("unavailable", "Postgres is away");
      return subscribed(0, []);
    },
  });
  const { client, clock, session } = await open(t, server);
  const first = client.watch("agents").next();
  await session.received("subscribe");
  await assert.rejects(client.call("nothing"));
  clock.advance(500);
  assert.equal((await first).value.kind, "snapshot");
});
