import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { connectAgent } from "../src/client/index.ts";
import { until } from "./support/await.ts";
import { startTestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

const isCommand = (message: Message) => message.method === "command";

async function withWaiting(t: TestContext, count: number) {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Worker", board_id: board.id });
  const params = { agent_id: agent.id, name: "do", delivery: "queued" };
  const ids: string[] = [];
  for (let n = 0; n < count; n++)
    ids.push((await owner.call("agent.command", { ...params, args: { n } })).command_id);
  return { server, owner, token: token as string, agent_id: agent.id as string, ids };
}

const becomes = (owner: Wire, id: string, status: string) =>
  until(async () => (await owner.call("command.get", { command_id: id })).command.status === status, {
    what: `the command to be ${status}`,
  });

test("B13 an agent on a host gets all that waits at every attach, however often it comes and goes", async (t) => {
  const { server, owner, token, agent_id, ids } = await withWaiting(t, 32);
  const host = await server.wire({ token: null });
  for (let round = 0; round < 40; round++) {
    const { ch } = await host.call("agent.attach", { token });
    await until(() => host.received.filter(isCommand).length === ids.length, { what: "all commands" });
    assert.ok(host.received.every((message) => !isCommand(message) || message.params.ch === ch));
    await host.call("agent.detach", { ch });
    host.received.length = 0;
  }
  // Nothing is left of the questions of ended channels: a live command still comes through, and is lost with its channel.
  const { ch } = await host.call("agent.attach", { token });
  const live = owner.ask({ method: "agent.command", params: { agent_id, name: "now" } });
  await host.next("the live command", (m) => isCommand(m) && m.params.name === "now");
  await host.call("agent.detach", { ch });
  assert.equal((await live).error.data.reason, "agent_offline");
});

test("B13 an agent hears of its commands only after the answer that attaches it", async (t) => {
  const { server, token } = await withWaiting(t, 3);
  for (const codec of ["json", "msgpack"] as const) {
    const agent = await server.connect({ codec });
    const order: string[] = [];
    const hello = agent.hello(token).then(() => order.push("answer"));
    await until(() => agent.received.some(isCommand) && order.push("command"), { what: "a command" });
    await hello;
    assert.equal(order[0], "answer");
    agent.end();
  }
});

test("B13 an SDK agent that names its handlers after it was attached misses no waiting command", async (t) => {
  const { server, owner, token, ids } = await withWaiting(t, 5);
  const agent = await connectAgent({ url: server.url, token });
  t.after(() => agent.stop());
  const done: unknown[] = [];
  agent.onCommand("do", ({ n }) => {
    done.push(n);
    return { n: n ?? null };
  });
  for (const id of ids) await becomes(owner, id, "completed");
  assert.deepEqual(done, [0, 1, 2, 3, 4]);
});

test("B13 an SDK agent's result that cannot be sent fails its command, and nothing else", async (t) => {
  const { server, owner, token, agent_id } = await withWaiting(t, 0);
  const agent = await connectAgent({ url: server.url, token });
  t.after(() => agent.stop());
  agent.onCommand("large", () => "x".repeat(1_200_000));
  agent.onCommand("odd", () => JSON.parse(`{"deep":${"[".repeat(60)}1${"]".repeat(60)}}`));
  agent.onCommand("good", () => "fine");
  for (const name of ["large", "odd"]) {
    const { command_id } = await owner.call("agent.command", { agent_id, name, delivery: "queued" });
    await becomes(owner, command_id, "failed");
  }
  const answer = await owner.call("agent.command", { agent_id, name: "good" });
  assert.deepEqual([answer.status, answer.result], ["completed", "fine"]);
});

test("B13 two live commands with one idempotency key at once are done once", async (t) => {
  const { server, owner, token, agent_id } = await withWaiting(t, 0);
  const worker = await server.wire({ token });
  const params = { agent_id, name: "once", idempotency_key: "k" };
  const asked = [1, 2].map(() => owner.ask({ method: "agent.command", params }));
  const command = await worker.next("the command", isCommand);
  worker.send({ id: command.id, result: 7 });
  const answers = await Promise.all(asked);
  assert.equal(answers.filter(({ result }) => result?.result === 7).length >= 1, true);
  assert.equal(worker.received.filter(isCommand).length, 1);
  const again = await owner.call("agent.command", params);
  assert.equal(again.result, 7);
  assert.equal(worker.received.filter(isCommand).length, 1);
});
