import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { startTestServer } from "./support/server.ts";
import { TurnedClock } from "./support/turned-clock.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Long ago, so that Postgres' own clock is ahead of all that the test turns to. */
const START = Date.parse("2001-01-01T22:00:00.000Z");

/** Whose time of day can jump, while its timers go on as before. */
class JumpingClock extends TurnedClock {
  #jumped = 0;

  override now(): number {
    return super.now() + this.#jumped;
  }

  jumpTo(time: number): void {
    this.#jumped += time - this.now();
  }
}

test("the activity log by days", async (t) => {
  const clock = new JumpingClock(START);
  const server = await startTestServer(t, { clock, environment: { MUSTER_ACTIVITY_RETENTION: "2d" } });
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const place = async (type: string) => {
    const [row] = await server.database`
      select tableoid::regclass::text as place from activity where type = ${type} order by seq desc limit 1`;
    return row?.place;
  };
  const partitions = async () =>
    (
      await server.database<{ name: string }[]>`
        select inhrelid::regclass::text as name from pg_inherits where inhparent = 'activity'::regclass order by 1`
    ).map(({ name }) => name);
  const create = (name: string) => owner.call("agent.create", { name, board_id: board.id });
  const created = async () => {
    const { items } = await owner.call("activity.list", { type: "agent.created" });
    return items.map(({ message }: { message: string }) => message);
  };

  /** The last hour passes, with all that falls due in it; the time before is jumped over. */
  const turn = (ms: number) => {
    clock.jumpTo(clock.now() + ms - HOUR_MS);
    clock.advance(HOUR_MS);
  };

  await t.test("the first days are there before the first entry", async () => {
    await create("Ada");
    assert.equal(await place("agent.created"), "activity_20010101");
  });

  await t.test("the next days are made as time goes on", async () => {
    turn(DAY_MS);
    await until(async () => (await partitions()).includes("activity_20010105"), { what: "the next day" });
    turn(4 * HOUR_MS);
    await until(async () => (await partitions()).includes("activity_20010106"), { what: "the day after" });
    await create("Bea");
    assert.equal(await place("agent.created"), "activity_20010103");
    assert.deepEqual(await created(), ["Bea was created.", "Ada was created."]);
  });

  await t.test("old days go as a whole, and the rest stays", async () => {
    turn(DAY_MS);
    await until(async () => !(await partitions()).includes("activity_20010101"), { what: "the day to go" });
    assert.deepEqual(await created(), ["Bea was created."]);
  });

  await t.test(
    "B3 a clock that jumps by years stops nothing; a minute later its days are there",
    async () => {
      clock.jumpTo(Date.parse("2011-06-01T12:00:00.000Z"));
      const { agent } = await create("Cia");
      assert.equal(await place("agent.created"), "activity_default");
      clock.advance(60_000);
      await until(async () => (await partitions()).includes("activity_20110604"), { what: "its days" });
      clock.advance(2 * 60_000);
      const { token } = await owner.call("agent.token.rotate", { agent_id: agent.id });
      assert.ok(token);
      assert.equal(await place("agent.token.rotated"), "activity_20110601");
      clock.jumpTo(Date.parse("1999-12-31T23:59:59.999Z"));
      await create("Dea");
      assert.deepEqual((await created()).slice(0, 2), ["Dea was created.", "Cia was created."]);
    },
  );

  await t.test("P22 a deleted agent's entries lose it, whichever days they are of", async () => {
    const { items } = await owner.call("activity.list", { type: "agent.token.rotated" });
    const { agent_id } = items[0];
    const ofIt = async () =>
      (await server.database`select distinct tableoid from activity where agent_id = ${agent_id}`).length;
    assert.equal(await ofIt(), 2);
    await owner.call("agent.delete", { agent_id, wait: true });
    assert.equal(await ofIt(), 0);
    assert.ok((await created()).includes("Cia was created."));
  });
});
