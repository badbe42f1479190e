import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { BeatLog } from "../src/actors/beat-log.ts";
import { Beats } from "../src/actors/beats.ts";
import { FLAG } from "../src/actors/columns.ts";
import { MAILBOX_BOUND, Mailbox, type Message } from "../src/actors/mailbox.ts";
import { Registry } from "../src/actors/registry.ts";

const BELONGING = { organization_id: randomUUID(), board_id: null, gateway_id: randomUUID() };

function stand() {
  const registry = new Registry({
    offlineAfterMs: 600_000,
    checkinDeadlineMs: 30_000,
    recordEveryBeat: false,
  });
  let wakes = 0;
  const committed: number[][] = [];
  const journaled: number[] = [];
  const beats = new Beats({
    registry,
    checkpoint: { note: (index) => journaled.push(index), reached: () => {} },
    wake: () => {
      wakes += 1;
    },
    onCommitted: ({ indexes }) => committed.push([...indexes]),
    log: new BeatLog(),
  });
  let lastNo = 0;
  const add = () => {
    lastNo += 1;
    return registry.add({
      id: randomUUID(),
      no: lastNo,
      ...BELONGING,
      name: `Agent ${lastNo}`,
      status: "online",
      version: 1,
      generation: 1,
      managed: false,
      every: null,
      last_seen_ms: null,
      unrest: null,
    });
  };
  const replace = (index: number) => {
    registry.remove(index);
    registry.release(index);
    assert.equal(add(), index);
  };
  return { registry, beats, committed, journaled, add, replace, wakes: () => wakes };
}

function sender() {
  const heard: string[] = [];
  return { heard, isExpecting: false, mark: () => heard.push("mark"), acknowledge: () => heard.push("ack") };
}

test("B8 heartbeats of one agent are one in a batch, the last, and wake the committer once", () => {
  const { beats, add, wakes } = stand();
  const [one, other] = [add(), add()];
  for (const at of [5, 9, 7]) beats.touch(one, at);
  beats.touch(other, 6);
  assert.equal(wakes(), 1);
  const batch = beats.take();
  assert.deepEqual(
    [[...(batch?.nos ?? [])], [...(batch?.times ?? [])]],
    [
      [1, 2],
      [9, 6],
    ],
  );
  assert.equal(beats.take(), null);
});

test("B8 a sender is acknowledged with the batch that holds what it sent, and not before it is committed", () => {
  const { beats, add } = stand();
  const index = add();
  const asker = sender();
  beats.touch(index, 5);
  beats.expect(asker);
  const batch = beats.take();
  assert.deepEqual(asker.heard, ["mark"]);
  beats.touch(index, 6);
  beats.expect(asker);
  batch?.committed(1, []);
  assert.deepEqual(asker.heard, ["mark", "ack"]);
  const next = beats.take();
  assert.deepEqual([...(next?.times ?? [])], [6]);
  next?.committed(2, []);
  assert.deepEqual(asker.heard, ["mark", "ack", "mark", "ack"]);
});

test("B8 a batch that Postgres did not take comes again, with what came since, and nobody is acknowledged", () => {
  const { registry, beats, committed, add } = stand();
  const [one, other] = [add(), add()];
  const asker = sender();
  beats.touch(one, 5);
  beats.report(one, { activity: "idle" });
  beats.report(other, { activity: "busy" });
  beats.expect(asker);
  const batch = beats.take();
  beats.touch(one, 8);
  beats.touch(other, 8);
  beats.report(other, { activity: "blocked" });
  batch?.failed();
  assert.deepEqual(asker.heard, ["mark"]);
  const again = beats.take();
  assert.deepEqual(
    new Map(Array.from(again?.nos ?? [], (no, position) => [no, again?.times[position]])),
    new Map([
      [1, 8],
      [2, 8],
    ]),
  );
  assert.equal(again?.nos.length, 2);
  assert.deepEqual(
    new Map(again?.reports.map(({ no, report }) => [no, report.said])),
    new Map([
      [1, { activity: "idle" }],
      [2, { activity: "blocked" }],
    ]),
  );
  again?.committed(2, []);
  assert.deepEqual(asker.heard, ["mark", "mark", "ack"]);
  assert.deepEqual(committed.flat().sort(), [one, other]);
  assert.equal(registry.columns.has(one, FLAG.dirty), false);
});

test("B8 what waits for an agent that is gone is not given to the next holder of its index", () => {
  const { beats, add, replace } = stand();
  const index = add();
  beats.touch(index, 5);
  replace(index);
  const afterwards = beats.take();
  assert.deepEqual([...(afterwards?.nos ?? [])], [], "never seen, so nothing to write");
  afterwards?.committed(null, []);
  beats.touch(index, 7);
  beats.report(index, { activity: "busy" });
  const lost = beats.take();
  replace(index);
  lost?.failed();
  const again = beats.take();
  assert.deepEqual([...(again?.nos ?? [])], []);
  assert.deepEqual(again?.reports ?? [], []);
});

test("P20 an agent's first heartbeat since a flush is logged, and a batch that Postgres did not take comes again as it was", () => {
  const { beats, add } = stand();
  const [one, other] = [add(), add()];
  beats.beat(one, 5);
  beats.touch(other, 6);
  beats.beat(one, 7);
  const asker = sender();
  beats.expect(asker);
  const batch = beats.take();
  assert.deepEqual(
    [batch?.events?.nos, batch?.events?.times].map((list) => [...(list ?? [])]),
    [[1], [5]],
  );
  beats.beat(other, 8);
  beats.expect(asker);
  batch?.failed();
  const again = beats.take();
  assert.deepEqual(again?.events, batch?.events);
  again?.committed(1, []);
  assert.deepEqual(asker.heard, ["mark"], "what came since is not committed yet");
  const last = beats.take();
  assert.deepEqual([...(last?.events?.times ?? [])], [8]);
  last?.committed(2, []);
  assert.deepEqual(asker.heard, ["mark", "mark", "ack"]);
  assert.equal(beats.take(), null);
});

test("the mailbox keeps the order, merges heartbeats that wait, and holds so many requests", () => {
  const mailbox = new Mailbox();
  const message = (type: "beat" | "signoff", at: number, quiet = false): Message => ({
    event: type === "beat" ? { type, quiet, at } : { type, at },
    rider: {},
    lasting: type === "beat",
    resolve: () => {},
    reject: () => {},
  });
  mailbox.put(message("beat", 1));
  // The first may be under way already: nothing is merged into it.
  mailbox.put(message("beat", 2));
  mailbox.put(message("beat", 3, true));
  mailbox.put(message("signoff", 4));
  mailbox.put(message("beat", 5));
  const order = [];
  for (let first = mailbox.first; first; first = mailbox.first) {
    order.push(first.event);
    mailbox.shift();
  }
  assert.deepEqual(order, [
    { type: "beat", quiet: false, at: 1 },
    { type: "beat", quiet: false, at: 3 },
    { type: "signoff", at: 4 },
    { type: "beat", quiet: false, at: 5 },
  ]);
  for (let count = 0; count < MAILBOX_BOUND; count++) mailbox.put(message("signoff", count));
  assert.throws(() => mailbox.put(message("signoff", 0)), { reason: "rate_limited" });
  mailbox.put(message("beat", 9));
});
