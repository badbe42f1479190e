import assert from "node:assert/strict";
import { test } from "node:test";
import { assertShape, type Guard } from "../src/client/guards.ts";
import { Agent, connect, MusterError } from "../src/client/index.ts";
import { RESULTS } from "../src/client/results.ts";
import { jsonCodec, msgpackCodec } from "../src/protocol/codec.ts";
import { open, start } from "./support/client-fixture.ts";
import { ALL_METHODS, exampleOf, makeWorld } from "./support/examples.ts";
import { agentHello, agentRecord, ID } from "./support/fake-server.ts";
import { damaged, HOSTILE_VALUES, mutated, pick } from "./support/mutations.ts";
import { seeded } from "./support/seeded.ts";
import { startTestServer } from "./support/server.ts";
import { TurnedClock } from "./support/turned-clock.ts";
import type { Wire } from "./support/wire.ts";

const snapshot = (items: unknown[]) => ({ topic: "agents", epoch: "e1", offset: 0, items, more: false });

for (const codec of ["json", "msgpack"] as const)
  test(`whatever a server sends as ${codec}, a client lives on or ends with a MusterError`, async (t) => {
    const random = seeded(t);
    const good = agentRecord(1);
    const messages = [
      { method: "change", params: { topic: "agents", offset: 1, upserts: [good], removes: ["a"] } },
      { method: "snapshot", params: { topic: "agents", items: [good], more: true } },
      { method: "reset", params: { topic: "agents", epoch: "e2", offset: 0, items: [good], more: false } },
      { method: "seen", params: { topic: "agents", at: "2031-01-01T00:00:00.000Z", agents: [["a", 1]] } },
      { method: "end", params: { topic: "agents", reason: "over" } },
      { method: "drain", params: { reconnect_after_ms: 5 } },
      { method: "ack", params: { n: 1 } },
      { method: "heartbeat_interval", params: { every_ms: 1_000 } },
      { id: "s1", method: "config", params: { ch: 0, agent: good, hash: "h" } },
      { id: "s2", method: "command", params: { ch: 0, command_id: ID, name: "look", args: { a: 1 } } },
    ];
    const answer = (result: object) => mutated({ method: "x", params: result }, random).params;
    const server = await start(t, {
      subscribe: () => answer(snapshot([good])),
      unsubscribe: () => ({}),
      "agent.get": () => answer({ agent: good }),
      "agent.list": () => answer({ items: [good], total: 1, next_cursor: null }),
    });
    const { client, session } = await open(t, server, { codec });
    server.handlers.hello = () => agentHello();
    const agent = new Agent({ url: server.url, token: "a", codec, clock: new TurnedClock() });
    t.after(() => agent.stop());
    await agent.attached;
    agent.onCommand("look", () => null);
    const agents = await server.session(1);

    for (let round = 0; round < 300; round++) {
      const watch = client.watch("agents");
      await watch.next().catch(assertMuster);
      for (let sent = 0; sent < 5; sent++) {
        session.send(mutated(pick(messages, random), random));
        agents.send(mutated(pick(messages, random), random));
      }
      session.send(pick(HOSTILE_VALUES, random));
      session.send({ id: 10 ** 9, result: pick(HOSTILE_VALUES, random) });
      await client.request("agent.get", { agent_id: ID }).catch(assertMuster);
      await client.request("agent.list", {}).catch(assertMuster);
      await watch.return();
    }
    assert.deepEqual(await client.call("unsubscribe"), {});
    assert.match(JSON.stringify(await agents.ask("x", {})), /method_not_found/);
    assert.equal(Object.hasOwn(Object.prototype, "polluted"), false);
  });

for (const codec of ["json", "msgpack"] as const)
  test(`of damaged frames of ${codec} a client reads what can be read, or ends with why`, async (t) => {
    const random = seeded(t);
    const server = await start(t, { subscribe: () => snapshot([]), unsubscribe: () => ({}) });
    const params = { topic: "agents", offset: 1, upserts: [agentRecord(1)], removes: ["a"] };
    const frame = Buffer.from(
      (codec === "json" ? jsonCodec : msgpackCodec).encode({ method: "change", params }),
    );
    for (let round = 0; round < 100; round++) {
      const client = await connect({ url: server.url, token: "t", codec, clock: new TurnedClock() });
      const session = await server.session(round);
      const watch = client.watch("agents");
      await watch.next();
      const bad = damaged(frame, random);
      session.sendRaw(codec === "json" ? bad.toString() : bad);
      await client.call("unsubscribe").catch(assertMuster);
      await client.close();
      // It is over: with what it had taken, with why it was ended, or with nothing.
      for (let done = false; !done; )
        await watch.next().then((step) => {
          done = step.done === true;
        }, assertMuster);
    }
  });

test("what the server answers to a good request of any method passes its guard", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const world = await makeWorld(server, owner);
  const agent = await server.connect();
  const refused: string[] = [];
  for (const method of AGENTS_METHODS) await take(agent, method);
  for (const method of ALL_METHODS) if (!AGENTS_METHODS.includes(method)) await take(owner, method);
  // These need a gateway with agents of its own, or one without boards.
  assert.deepEqual(
    refused.sort(),
    ["agent.message", "gateway.import", "gateway.diff", "gateway.delete"].sort(),
  );

  async function take(wire: Wire, method: string): Promise<void> {
    const { params } = exampleOf(method, world);
    const fit = method === "heartbeats" ? { chs: [0] } : { cursor: undefined };
    const { result, error } = await wire.ask({ method, params: { ...params, ...fit } });
    if (error) refused.push(method);
    else assertShape("internal", method, result, guardOf(method));
  }
});

/** In their order: with the first it comes, with the last but one it leaves. */
const AGENTS_METHODS = ["hello", "heartbeat", "heartbeats", "agent.detach", "agent.attach"];

function guardOf(method: string): Guard {
  const [, guard] = Object.entries(RESULTS).find(([name]) => name === method) ?? [];
  assert.ok(guard, `${method} has no guard`);
  return guard;
}

function assertMuster(error: unknown): void {
  assert.ok(error instanceof MusterError, String(error));
}
