import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { pretended, provision, refusal, settle, setUp, work } from "./support/local-gateway.ts";

test("B5 however often an agent is woken, one process runs for it", async (t) => {
  const { started, startChild } = pretended();
  const { driver } = await setUp(t, startChild);
  await provision(driver);
  await driver.wake(work());
  await Promise.all([1, 2, 3].map((wakes) => driver.wake(work({ wakes }))));
  await driver.resume([work()]);
  assert.equal(started.length, 1);
});

test("P17 an update ends the process and starts one that reads the new files, once", async (t) => {
  const { started, startChild, alive } = pretended();
  const { driver } = await setUp(t, startChild);
  await provision(driver);
  const update = work({ action: "update", token: "newer", agent: { generation: 2 } });
  await provision(driver, update);
  await driver.wake(update);
  await driver.wake({ ...update, wakes: 1 });
  assert.equal(started.length, 2);
  assert.deepEqual(started[0]?.signals, ["SIGTERM"]);
  // Also when no file is different.
  await provision(driver, { ...update, agent: { ...update.agent, generation: 3 } });
  assert.equal(started.length, 3);
  assert.equal(alive().length, 1);
});

test("a process brought back before its new files were there is started anew by the wake-up", async (t) => {
  const { started, startChild } = pretended();
  const first = await setUp(t, startChild);
  const update = work({ action: "update", token: "newer", agent: { generation: 2 } });
  await provision(first.driver);
  await first.driver.session(update);
  await first.driver.stop();
  const second = await setUp(t, startChild, first.base);
  await second.driver.resume([update]);
  assert.equal(started.length, 2);
  await second.driver.files(update);
  await second.driver.wake(update);
  assert.equal(started.length, 3);
});

test("a process that dies is started again after growing pauses, which shrink when it ran well", async (t) => {
  const { started, startChild, alive } = pretended();
  const { driver, clock } = await setUp(t, startChild);
  await provision(driver);
  const pauses: number[] = [];
  const fall = async (ranMs: number) => {
    clock.advance(ranMs);
    started.at(-1)?.die();
    await until(() => clock.timers === 1, { what: "the restart to be planned" });
    const next = clock.asked.at(-1) ?? assert.fail();
    pauses.push(next);
    const before = started.length;
    clock.advance(next - 1);
    await settle();
    assert.equal(started.length, before);
    clock.advance(1);
    await until(() => started.length === before + 1, { what: "the restart" });
  };
  for (let n = 0; n < 8; n++) await fall(100);
  await fall(60_000);
  await fall(100);
  assert.deepEqual(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 1_000, 2_000]);
  assert.equal(alive().length, 1);
});

test("a restart that fails is tried again, and a wake-up does not wait for it", async (t) => {
  const { started, startChild, behaviour } = pretended();
  const { driver, clock } = await setUp(t, startChild);
  await provision(driver);
  behaviour.refuse = Object.assign(new Error("spawn EAGAIN"), { code: "EAGAIN" });
  started[0]?.die();
  await until(() => clock.timers === 1, { what: "the restart to be planned" });
  clock.advance(1_000);
  await until(() => clock.asked.at(-1) === 2_000, { what: "the next try to be planned" });
  await assert.rejects(driver.wake(work({ wakes: 1 })), refusal(/could not be started: spawn EAGAIN/, true));
  behaviour.refuse = undefined;
  await driver.wake(work({ wakes: 1 }));
  assert.equal(started.length, 2);
  assert.equal(clock.timers, 0);
});

test("a process that does not heed SIGTERM is killed", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { started, startChild, behaviour } = pretended();
  const { driver } = await setUp(t, startChild);
  await provision(driver);
  behaviour.ignoresSigterm = true;
  const ended = driver.unroster(work({ action: "delete", agent: { generation: 2 } }));
  await settle();
  t.mock.timers.tick(4_999);
  assert.deepEqual(started[0]?.signals, ["SIGTERM"]);
  t.mock.timers.tick(1);
  await ended;
  assert.deepEqual(started[0]?.signals, ["SIGTERM", "SIGKILL"]);
});

test("B4 after a start of the server the processes of rostered agents come back, and only theirs", async (t) => {
  const { startChild, alive, started } = pretended();
  const first = await setUp(t, startChild);
  const all = Array.from({ length: 12 }, (_, n) => work({ agent: { id: `id-${n}`, slug: `a-${n}` } }));
  for (const given of all) await provision(first.driver, given);
  const [gone = assert.fail(), ...others] = all;
  await first.driver.unroster({ ...gone, action: "delete" });
  await first.driver.stop();
  assert.equal(alive().length, 0);

  const before = started.length;
  let starting = 0;
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const second = await setUp(
    t,
    async (command) => {
      starting += 1;
      await gate;
      return startChild(command);
    },
    first.base,
  );
  const resumed = second.driver.resume([work({ agent: { id: "new", slug: "new" } }), gone, ...others]);
  await until(() => starting >= 4, { what: "the first four" });
  for (let turn = 0; turn < 10; turn++) await settle();
  assert.equal(starting, 4);
  open();
  await resumed;
  assert.deepEqual(
    started
      .slice(before)
      .map(({ command }) => command.cwd)
      .sort(),
    others.map(({ agent }) => join(second.root, "ws", `workspace-${agent.slug}`)).sort(),
  );
});

test("a process that is just being started when the driver stops is ended too", async (t) => {
  const { startChild, alive, started } = pretended();
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let starting = false;
  const { driver } = await setUp(t, async (command) => {
    starting = true;
    await gate;
    return startChild(command);
  });
  await driver.files(work());
  const woken = driver.wake(work());
  await until(() => starting, { what: "the start" });
  const stopped = driver.stop();
  await settle();
  open();
  await Promise.all([woken, stopped]);
  assert.equal(started.length, 1);
  assert.equal(alive().length, 0);
});

test("after a stop nothing starts, neither by a wake-up nor by a restart that was due", async (t) => {
  const { startChild, alive, started } = pretended();
  const { driver, clock } = await setUp(t, startChild);
  await provision(driver);
  await provision(driver, work({ agent: { id: "bob-id", slug: "bob" } }));
  started[0]?.die();
  await until(() => clock.timers === 1, { what: "the restart to be planned" });
  await driver.stop();
  await driver.stop();
  clock.advance(120_000);
  await assert.rejects(driver.wake(work()), refusal(/stopped/, true));
  await driver.resume([work()]);
  await settle();
  assert.equal(alive().length, 0);
  assert.equal(started.length, 2);
});
