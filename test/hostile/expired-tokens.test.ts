import assert from "node:assert/strict";
import { test } from "node:test";
import { Expiries } from "../../src/edge/expiries.ts";
import { read } from "../support/agents.ts";
import { until } from "../support/await.ts";
import { FuzzRandom } from "../support/fuzz-random.ts";
import { refused } from "../support/refused.ts";
import { seedOf } from "../support/seed.ts";
import { startTestServer } from "../support/server.ts";
import { TurnedClock } from "../support/turned-clock.ts";

const HOUR_MS = 3_600_000;

test("B14 when an agent's token expires its channel on a host ends, and the host's others go on", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const make = (name: string) => owner.call("agent.create", { name, board_id: board.id });
  const [lasting, brief, reattached] = [await make("Lasting"), await make("Brief"), await make("Reattached")];
  const expireIn = (agentId: string, ms: number) =>
    server.database`
      update agent_tokens set expires_at = ${new Date(server.clock.now() + ms)} where agent_id = ${agentId}`;
  await expireIn(brief.agent.id, HOUR_MS);
  await expireIn(reattached.agent.id, HOUR_MS);
  const host = await server.wire({ token: null });
  const attach = (token: string) => host.call("agent.attach", { token });
  const { ch: lastingCh } = await attach(lasting.token);
  const { ch: briefCh } = await attach(brief.token);
  // What was detached leaves no expiry behind that could end whoever has its place.
  await host.call("agent.detach", { ch: (await attach(reattached.token)).ch });
  await expireIn(reattached.agent.id, 10 * HOUR_MS);
  const { ch: reattachedCh } = await attach(reattached.token);

  server.clock.advance(HOUR_MS - 1_000);
  await host.call("heartbeat", { ch: briefCh });
  server.clock.advance(1_000);
  const told = await host.next("the channel to end", ({ method }) => method === "detached");
  assert.deepEqual(told.params, { ch: briefCh, reason: "revoked" });
  await refused(host.call("heartbeat", { ch: briefCh }), "not_found");
  await until(async () => !(await read(owner, brief.agent)).connected, { what: "it to be told of" });
  await refused(attach(brief.token), "unauthenticated", /has expired/);
  await host.call("heartbeat", { ch: lastingCh });
  await host.call("heartbeat", { ch: reattachedCh });
  assert.equal(host.received.filter(({ method }) => method === "detached").length, 1);
  assert.equal(host.closed, undefined);
});

test("B14 an agent's own session ends with its token", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { token } = await owner.call("agent.create", { name: "Brief", board_id: board.id });
  await server.database`update agent_tokens set expires_at = ${new Date(server.clock.now() + HOUR_MS)}`;
  const wire = await server.wire({ token });
  server.clock.advance(HOUR_MS);
  assert.equal((await wire.closing()).code, 4403);
});

test("B14 whatever is added and cancelled, each that is left ends once, in the order of their times", (t) => {
  const random = new FuzzRandom(seedOf(t));
  const clock = new TurnedClock();
  const expiries = new Expiries(clock);
  const open = new Map<number, { at: number; cancel: () => void }>();
  let ended: number[] = [];
  for (let round = 0, id = 0; round < 3_000; round++) {
    if (random.chance(0.7)) {
      const key = id++;
      const at = clock.now() + random.below(100_000);
      open.set(key, { at, cancel: expiries.add(at, () => ended.push(key)) });
    }
    const some = [...open.keys()][random.below(open.size)];
    if (some !== undefined && random.chance(0.5)) {
      open.get(some)?.cancel();
      open.get(some)?.cancel();
      open.delete(some);
    }
    if (random.chance(0.05)) {
      clock.advance(1_000 * random.below(20));
      const due = [...open].filter(([, { at }]) => at <= clock.now()).map(([key]) => key);
      assert.deepEqual(new Set(ended), new Set(due));
      assert.equal(ended.length, due.length);
      for (const key of due) open.delete(key);
      ended = [];
    }
    assert.ok(expiries.size <= 2 * open.size + 65, `${expiries.size} are held for ${open.size}`);
  }
  expiries.stop();
});
