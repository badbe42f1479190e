import assert from "node:assert/strict";
import { test } from "node:test";
import { CHECKPOINT_MS } from "../src/actors/checkpoint.ts";
import { ActorStand, type Place } from "./support/actor-stand.ts";
import { until } from "./support/await.ts";

/** Agents who are online, so that their heartbeats take the short way. */
async function online(stand: ActorStand, place: Place, names: string[]): Promise<string[]> {
  const ids = await Promise.all(names.map((name) => stand.agent(place, name)));
  for (const id of ids) await stand.send(id, { type: "beat", quiet: false, at: stand.clock.now() });
  await checkpoint(stand);
  return ids;
}

const beat = async (stand: ActorStand, ids: string[]) => {
  for (const id of ids) assert.equal(stand.beat(id).short, true);
  await stand.flushed();
};

const journaled = async ({ database }: ActorStand) => {
  const [row] = await database<{ count: number }[]>`select count(*) from heartbeat_journal`;
  return row?.count ?? 0;
};

/** The last_seen in the agent's own row. */
const inRow = async ({ database }: ActorStand, id: string) => {
  const [row] = await database<{ last_seen_at: Date }[]>`
    select p.last_seen_at from presence p join agents a on a.no = p.agent_no where a.id = ${id}`;
  return row?.last_seen_at.getTime();
};

const checkpoint = async (stand: ActorStand) => {
  stand.clock.advance(CHECKPOINT_MS);
  await until(async () => (await journaled(stand)) === 0, { what: "the journal to be empty" });
};

test("B8 heartbeats stand in the journal, one row for many, and a checkpoint carries the last of each over", async (t) => {
  const stand = await ActorStand.open(t);
  const ids = await online(stand, await stand.place(false), ["Ada", "Bea", "Cia"]);
  const [ada = "", bea = ""] = ids;
  const began = await inRow(stand, ada);
  stand.clock.advance(1_000);
  await beat(stand, ids);
  assert.equal(await journaled(stand), 1);
  stand.clock.advance(1_000);
  await beat(stand, [ada]);
  const last = stand.clock.now();
  assert.equal(await inRow(stand, ada), began);
  assert.equal((await stand.row(ada))?.last_seen_at?.getTime(), last);
  await checkpoint(stand);
  assert.equal(await inRow(stand, ada), last);
  assert.equal(await inRow(stand, bea), last - 1_000);
  await beat(stand, [bea]);
  await checkpoint(stand);
  assert.equal(await inRow(stand, ada), last, "who did not beat since is not written");
});

test("B8 after a restart the journal is in memory again, and the next checkpoint carries it over", async (t) => {
  const stand = await ActorStand.open(t);
  const ids = await online(stand, await stand.place(false), ["Ada", "Bea"]);
  const [ada = "", bea = ""] = ids;
  stand.clock.advance(5_000);
  await beat(stand, ids);
  const at = stand.clock.now();
  await stand.restart();
  for (const id of ids) {
    assert.equal(stand.registry.stateOf(stand.indexOf(id)).context.lastSeenAt, at);
    assert.equal(stand.registry.presenceOf(id).lastSeenMs, at);
  }
  await stand.send(bea, { type: "delete", force: false, at });
  await stand.restart();
  assert.equal(stand.registry.presenceOf(ada).lastSeenMs, at);
  await checkpoint(stand);
  assert.equal(await inRow(stand, ada), at);
});

test("a checkpoint that Postgres refuses loses nothing: the next one carries all over", async (t) => {
  const stand = await ActorStand.open(t);
  const [ada = ""] = await online(stand, await stand.place(false), ["Ada"]);
  stand.clock.advance(5_000);
  await beat(stand, [ada]);
  const at = stand.clock.now();
  await stand.database.unsafe(`
    create sequence refusals;
    create function refuse() returns trigger language plpgsql as
      'begin perform nextval(''refusals''); raise exception ''not now''; end';
    create trigger refusing before update on presence execute function refuse()`);
  stand.clock.advance(CHECKPOINT_MS);
  const isRefused = async () => (await stand.database`select 1 from refusals where is_called`).count > 0;
  await until(isRefused, { what: "Postgres to refuse" });
  await stand.database`drop trigger refusing on presence`;
  assert.equal(await journaled(stand), 1);
  await until(
    async () => {
      stand.clock.advance(CHECKPOINT_MS);
      return (await journaled(stand)) === 0;
    },
    { what: "another checkpoint" },
  );
  assert.equal(await inRow(stand, ada), at);
});

test("B8 a transition's sign of life goes the same way", async (t) => {
  const stand = await ActorStand.open(t);
  const [ada = "", bea = ""] = await online(stand, await stand.place(false), ["Ada", "Bea"]);
  const before = await inRow(stand, ada);
  stand.clock.advance(5_000);
  const at = stand.clock.now();
  const beat = { type: "beat", quiet: false, status: "offline", at } as const;
  await Promise.all([stand.send(ada, beat), stand.send(bea, beat)]);
  assert.equal(await journaled(stand), 1, "one row for the group");
  assert.equal(await inRow(stand, ada), before);
  assert.equal((await stand.row(ada))?.last_seen_at?.getTime(), at);
  assert.equal(stand.registry.presenceOf(bea).lastSeenMs, at);
  await stand.restart();
  assert.equal(stand.registry.presenceOf(ada).lastSeenMs, at);
  await checkpoint(stand);
  assert.deepEqual([await inRow(stand, ada), await inRow(stand, bea)], [at, at]);
});

test("an agent that takes the place of one that is gone does not get its heartbeats", async (t) => {
  const stand = await ActorStand.open(t);
  const place = await stand.place(false);
  const [ada = ""] = await online(stand, place, ["Ada"]);
  stand.clock.advance(5_000);
  await beat(stand, [ada]);
  const index = stand.indexOf(ada);
  await stand.send(ada, { type: "delete", force: false, at: stand.clock.now() });
  const bea = await stand.agent(place, "Bea");
  assert.equal(stand.indexOf(bea), index);
  await checkpoint(stand);
  assert.equal(stand.registry.presenceOf(bea).lastSeenMs, 0);
  assert.equal((await stand.row(bea))?.last_seen_at, null);
});
