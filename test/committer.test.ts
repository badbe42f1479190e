import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { MusterError } from "../src/protocol/errors.ts";
import type { Queries } from "../src/store/database.ts";
import type { BeatBatch } from "../src/store/heartbeat-writer.ts";
import { StaleChange } from "../src/store/write-changes.ts";
import { until } from "./support/await.ts";
import { committerStand } from "./support/committer-stand.ts";
import { type Fate, startPostgresProxy } from "./support/postgres-proxy.ts";

const reasonOf = (outcome: PromiseSettledResult<unknown> | undefined) =>
  outcome?.status === "rejected" && outcome.reason instanceof MusterError
    ? outcome.reason.reason
    : outcome?.status;

test("what comes together is committed together, at most five hundred at a time", async (t) => {
  const { committer, insertion, metrics, names } = await committerStand(t);
  const commits = async () => (await metrics.commits.get()).values[0]?.value ?? 0;
  await Promise.all(["A", "B", "C"].map((name) => committer.commit(insertion(name))));
  assert.equal(await commits(), 1);
  await Promise.all(Array.from({ length: 501 }, (_, index) => committer.commit(insertion(`N${index}`))));
  assert.equal(await commits(), 3);
  assert.equal((await names()).length, 504);
});

test("P9 a name that is taken fails alone, not its group", async (t) => {
  const { committer, insertion, transition, names, countOf } = await committerStand(t);
  const first = insertion("Ada");
  await committer.commit(first);
  const twin = insertion("Ada");
  const outcomes = await Promise.allSettled([
    committer.commit(insertion("Bea")),
    committer.commit(twin),
    committer.commit(transition(first.agentId, 1)),
    committer.commit(insertion("Cia")),
  ]);
  assert.deepEqual(outcomes.map(reasonOf), ["fulfilled", "conflict", "fulfilled", "fulfilled"]);
  assert.deepEqual(await names(), ["Ada", "Bea", "Cia"]);
  assert.equal(await countOf("agent.created", twin.agentId), 0);
  assert.equal(await countOf("agent.heartbeat", first.agentId), 1, "what was written apart is written once");
});

test("a value that Postgres cannot hold fails alone, not its group", async (t) => {
  const { committer, insertion, names } = await committerStand(t);
  const outcomes = await Promise.allSettled([
    committer.commit(insertion("Ada", { identity_profile: { role: "nothing\u0000at all" } })),
    committer.commit(insertion("Bea")),
  ]);
  assert.deepEqual(outcomes.map(reasonOf), ["rejected", "fulfilled"]);
  assert.deepEqual(await names(), ["Bea"]);
});

test("what rides along and fails takes only its own change with it", async (t) => {
  const { committer, insertion, names } = await committerStand(t);
  const burdened = insertion("Ada");
  burdened.also = async (transaction) => {
    await transaction`select 1 / 0`;
  };
  const outcomes = await Promise.allSettled([committer.commit(burdened), committer.commit(insertion("Bea"))]);
  assert.deepEqual(outcomes.map(reasonOf), ["rejected", "fulfilled"]);
  assert.deepEqual(await names(), ["Bea"]);
});

test("a change from an older version is stale: nothing of it is written, and its group is", async (t) => {
  const { committer, insertion, transition, database, countOf } = await committerStand(t);
  const [ada, bea] = [insertion("Ada"), insertion("Bea")];
  await Promise.all([committer.commit(ada), committer.commit(bea)]);
  await committer.commit(transition(ada.agentId, 1));
  const [stale, staleToo, gone, good] = await Promise.allSettled([
    committer.commit(transition(ada.agentId, 1)),
    committer.commit(transition(ada.agentId, 1, { fields: { name: "Other" } })),
    committer.commit({
      kind: "removal",
      agentId: ada.agentId,
      fromVersion: 1,
      at: new Date(),
      events: [],
      token: null,
      also: null,
    }),
    committer.commit(transition(bea.agentId, 1)),
  ]);
  for (const outcome of [stale, staleToo, gone])
    assert.ok(outcome?.status === "rejected" && outcome.reason instanceof StaleChange);
  assert.deepEqual(good?.status === "fulfilled" && good.value, { version: 2, no: null, seq: null });
  assert.equal(await countOf("agent.heartbeat", ada.agentId), 1);
  const [row] = await database`select name, version from agents where id = ${ada.agentId}`;
  assert.deepEqual({ ...row }, { name: "Ada", version: 2 });
});

test("B8 a report that Postgres refuses is dropped alone, and the heartbeats are there", async (t) => {
  const batches: BeatBatch[] = [];
  const { committer, insertion, database } = await committerStand(t, {
    beats: { take: () => batches.shift() ?? null, waiting: 0 },
  });
  const made = await Promise.all(["Ada", "Bea"].map((name) => committer.commit(insertion(name))));
  const nos = made.map(({ no }) => no ?? 0);
  const heard: string[] = [];
  batches.push({
    nos: Int32Array.from(nos),
    times: Float64Array.of(1_000, 2_000),
    reports: [
      { no: nos[0] ?? 0, report: { said: { activity: "\u0000" } } },
      { no: nos[1] ?? 0, report: { said: { activity: "busy" } } },
    ],
    events: null,
    isTold: false,
    committed: () => heard.push("committed"),
    failed: () => heard.push("failed"),
  });
  committer.beatsWait();
  await until(() => heard.length > 0, { what: "the batch" });
  assert.deepEqual(heard, ["committed"]);
  const rows = await database`
    select last_seen.last_seen_at, reported from presence join last_seen using (agent_no) order by agent_no`;
  assert.deepEqual(
    rows.map(({ last_seen_at, reported }) => [last_seen_at.getTime(), reported]),
    [
      [1_000, null],
      [2_000, { activity: "busy" }],
    ],
  );
});

test("two transactions in each other's way: the change is made once more, and nobody hears of it", async (t) => {
  const { committer, insertion, transition, database } = await committerStand(t);
  const ada = insertion("Ada");
  const { no } = await committer.commit(ada);
  // Connections learn of it when they are made: these are made anew.
  const [here] = await database<{ name: string }[]>`select current_database() as name`;
  await database.unsafe(`alter database ${here?.name} set deadlock_timeout = '1s'`);
  await database`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`;
  const isBack = () =>
    committer.commit(transition(ada.agentId, 0)).catch((error) => error instanceof StaleChange);
  await until(async () => (await isBack()) === true, { what: "the committer to be connected again" });
  const { committed } = await database.begin(async (transaction) => {
    // It is the other one that is to give up.
    await transaction`set local deadlock_timeout = '1h'`;
    await transaction`select 1 from presence where agent_no = ${no} for update`;
    const also = async (queries: Queries) => {
      await queries`select 1 from presence where agent_no = ${no} for update`;
    };
    const committed = committer.commit(transition(ada.agentId, 1, { also }));
    const isWaiting = async () => {
      const [row] = await database<{ count: number }[]>`
        select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`;
      return (row?.count ?? 0) > 0;
    };
    await until(isWaiting, { what: "the committer to wait" });
    await transaction`select 1 from agents where id = ${ada.agentId} for update`;
    return { committed };
  });
  assert.deepEqual(await committed, { version: 2, no: null, seq: null });
  assert.equal(committer.available, true);
});

test("stop commits what waits; what comes after is refused", async (t) => {
  const { committer, insertion, names } = await committerStand(t);
  const waiting = committer.commit(insertion("Ada"));
  const stopped = committer.stop();
  const late = committer.commit(insertion("Bea"));
  await assert.rejects(late, { reason: "unavailable" });
  await stopped;
  assert.deepEqual(await names(), ["Ada"]);
  await waiting;
});

async function cutStand(t: TestContext) {
  let proxy: Awaited<ReturnType<typeof startPostgresProxy>> | undefined;
  const stand = await committerStand(t, {
    through: async (url) => {
      proxy = await startPostgresProxy(t, url);
      return proxy.url;
    },
  });
  assert.ok(proxy);
  return { ...stand, proxy };
}

for (const [fate, truth] of [
  ["answer lost", "fulfilled"],
  ["request lost", "unavailable"],
] satisfies [Fate, string][])
  test(`B3 a COMMIT cut in its middle (${fate}): every kind of change hears the truth, and happens once or not at all`, async (t) => {
    const { proxy, committer, insertion, transition, event, database, countOf } = await cutStand(t);
    const [moved, changed, removed] = ["Ada", "Bea", "Cia"].map((name) => insertion(name));
    assert.ok(moved && changed && removed);
    await Promise.all([moved, changed, removed].map((change) => committer.commit(change)));
    const added = insertion("Dea");
    const common = { at: new Date(), token: null, also: null };
    const remark = event("agent.token.rotated", moved.agentId);
    const end = event("agent.delete.direct", null);
    proxy.meet(fate);
    const outcomes = await Promise.allSettled([
      committer.commit(added),
      committer.commit(transition(moved.agentId, 1)),
      committer.commit(transition(changed.agentId, 1, { fields: { name: "Bea 2" }, events: [] })),
      committer.commit({
        kind: "removal",
        agentId: removed.agentId,
        fromVersion: 1,
        events: [end],
        ...common,
      }),
      committer.commit({ kind: "remark", agentId: moved.agentId, seen: null, events: [remark], ...common }),
    ]);
    assert.equal(proxy.met, true);
    assert.deepEqual(
      outcomes.map(reasonOf),
      Array.from({ length: 5 }, () => truth),
    );
    const isDone = truth === "fulfilled";
    const [first] = outcomes;
    const rows = await database`select id, no, name, version from agents order by name`;
    assert.deepEqual(
      rows.map(({ name, version }) => `${name} ${version}`),
      isDone ? ["Ada 2", "Bea 2 2", "Dea 1"] : ["Ada 1", "Bea 1", "Cia 1"],
    );
    if (first?.status === "fulfilled")
      assert.deepEqual(first.value, {
        version: 1,
        seq: null,
        no: rows.find(({ id }) => id === added.agentId)?.no,
      });
    assert.equal(await countOf("agent.heartbeat", moved.agentId), isDone ? 1 : 0);
    assert.equal(await countOf("agent.token.rotated", moved.agentId), isDone ? 1 : 0);
    // What was not done can be done now.
    if (!isDone) await committer.commit(transition(moved.agentId, 1));
    assert.equal(await countOf("agent.heartbeat", moved.agentId), 1);
  });

test("B3 a COMMIT that Postgres gets only after the connection was lost is waited for", async (t) => {
  const { proxy, committer, insertion, names, database } = await cutStand(t);
  await committer.commit(insertion("Ada"));
  proxy.meet("late");
  let outcome: string | undefined;
  const settled = committer.commit(insertion("Bea")).then(
    () => (outcome = "done"),
    (error) => (outcome = String(error)),
  );
  const isLooking = async () => {
    const [row] = await database<{ count: number }[]>`
      select count(*) from pg_stat_activity
      where datname = current_database() and query like '%backend' || '_xid%' and pid <> pg_backend_pid()`;
    return (row?.count ?? 0) > 0;
  };
  await until(isLooking, { what: "the committer to ask" });
  assert.equal(outcome, undefined, "nothing is said while it is not known");
  proxy.release();
  await settled;
  assert.equal(outcome, "done");
  assert.ok((await names()).includes("Bea"));
});

test("stop does not wait for a Postgres that stays away to tell what became of a COMMIT", async (t) => {
  const { proxy, committer, insertion } = await cutStand(t);
  await committer.commit(insertion("Ada"));
  proxy.meet("answer lost");
  proxy.refuse(true);
  const unknown = assert.rejects(committer.commit(insertion("Bea")), {
    reason: "unavailable",
    message: /look whether it was done/,
  });
  await until(() => !committer.available, { what: "Postgres to be away" });
  await committer.stop();
  await unknown;
});

test("B8 whoever throws when a batch is told is not Postgres being away", async (t) => {
  const batches: BeatBatch[] = [];
  const { committer, insertion } = await committerStand(t, {
    beats: { take: () => batches.shift() ?? null, waiting: 0 },
  });
  const { no } = await committer.commit(insertion("Ada"));
  const heard: string[] = [];
  const batch = (committed: () => void): BeatBatch => ({
    nos: Int32Array.of(no ?? 0),
    times: Float64Array.of(1_000),
    reports: [],
    events: null,
    isTold: false,
    committed,
    failed: () => heard.push("failed"),
  });
  batches.push(
    batch(() => {
      heard.push("thrown");
      throw new Error("a listener's own fault");
    }),
  );
  committer.beatsWait();
  await until(() => heard.length > 0, { what: "the first batch" });
  assert.equal(committer.available, true);
  batches.push(batch(() => heard.push("committed")));
  committer.beatsWait();
  await until(() => heard.includes("committed"), { what: "the next batch" });
  assert.deepEqual(heard, ["thrown", "committed"]);
});
