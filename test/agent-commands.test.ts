import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import { connectAgent } from "../src/client/index.ts";
import { until } from "./support/await.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

async function withAgent(t: TestContext) {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Worker", board_id: board.id });
  return { server, owner, agent_id: agent.id as string, token: token as string };
}

const isCommand = (message: Message) => message.method === "command";
const queued = (agent_id: string, n: number) => ({ agent_id, name: "do", args: { n }, delivery: "queued" });
const statusOf = async (owner: Wire, id: string) =>
  (await owner.call("command.get", { command_id: id })).command.status;
const becomes = (owner: Wire, id: string, status: string) =>
  until(async () => (await statusOf(owner, id)) === status, { what: `the command to be ${status}` });

async function attach(server: TestServer, token: string): Promise<Wire> {
  return server.wire({ token });
}

test("B13 a live command brings back the agent's answer, or its error", async (t) => {
  const { server, owner, agent_id, token } = await withAgent(t);
  const worker = await attach(server, token);
  const answer = owner.call("agent.command", { agent_id, name: "sum", args: { a: 1 } });
  const command = await worker.next("the command", isCommand);
  assert.deepEqual([command.params.ch, command.params.name, command.params.args], [0, "sum", { a: 1 }]);
  worker.send({ id: command.id, result: { sum: 3 } });
  const { command_id } = command.params;
  assert.deepEqual(await answer, { command_id, status: "completed", result: { sum: 3 } });

  const refused = owner.call("agent.command", { agent_id, name: "fly" });
  const second = await worker.next("the second command", (m) => isCommand(m) && m.params.name === "fly");
  worker.send({ id: second.id, error: { code: 7, message: "no wings" } });
  const failed = await refused;
  assert.equal(failed.status, "failed");
  assert.deepEqual(failed.error, { code: 7, message: "no wings" });
});

test("B13 a live command to an agent that is not connected is agent_offline at once", async (t) => {
  const { owner, agent_id } = await withAgent(t);
  const { error } = await owner.ask({ method: "agent.command", params: { agent_id, name: "ping" } });
  assert.deepEqual([error.code, error.data.reason, error.data.status], [-32050, "agent_offline", 409]);
});

test("B13 a live command that is not answered in time is a timeout; one whose agent goes away is agent_offline", async (t) => {
  const { server, owner, agent_id, token } = await withAgent(t);
  const worker = await attach(server, token);
  const late = owner.ask({ method: "agent.command", params: { agent_id, name: "slow", timeout_ms: 5_000 } });
  await worker.next("the command", isCommand);
  server.clock.advance(5_000);
  assert.equal((await late).error.data.reason, "timeout");
  const lost = owner.ask({ method: "agent.command", params: { agent_id, name: "slower" } });
  await worker.next("the second command", (m) => isCommand(m) && m.params.name === "slower");
  worker.end();
  assert.equal((await lost).error.data.reason, "agent_offline");
});

test("B13 queued commands wait in Postgres over a restart and reach the agent in their order when it attaches", async (t) => {
  const { server, owner, agent_id, token } = await withAgent(t);
  const ids: string[] = [];
  for (let n = 0; n < 40; n++) {
    const { command_id, status } = await owner.call("agent.command", queued(agent_id, n));
    assert.equal(status, "queued");
    ids.push(command_id);
  }
  await server.restart();
  const again = await server.wire();
  const worker = await attach(server, token);
  for (let n = 0; n < 40; n++) {
    const command = await worker.next(`command ${n}`, (m) => isCommand(m) && m.params.args.n === n);
    worker.send({ id: command.id, result: { n } });
  }
  const order = worker.received.filter(isCommand).map((m) => m.params.command_id);
  assert.deepEqual(order, ids);
  for (const id of ids) await becomes(again, id, "completed");
  const { command } = await again.call("command.get", { command_id: ids[3] });
  assert.deepEqual([command.result, command.attempts, command.error], [{ n: 3 }, 1, null]);
});

test("B13 a queued command that was not answered is delivered again after a lost socket, and ends once", async (t) => {
  const { server, owner, agent_id, token } = await withAgent(t);
  const worker = await attach(server, token);
  const { command_id } = await owner.call("agent.command", queued(agent_id, 1));
  const first = await worker.next("the command", isCommand);
  assert.equal(first.params.command_id, command_id);
  await becomes(owner, command_id, "delivered");
  worker.end();
  const back = await attach(server, token);
  const second = await back.next("the command again", isCommand);
  assert.equal(second.params.command_id, command_id);
  back.send({ id: second.id, error: { code: 1, message: "could not" } });
  await becomes(owner, command_id, "failed");
  const { command } = await owner.call("command.get", { command_id });
  assert.deepEqual([command.attempts, command.error.message], [2, "could not"]);
});

test("B13 a command can be cancelled until it has ended, and expires when its time is over", async (t) => {
  const { server, owner, agent_id, token } = await withAgent(t);
  const cancelled = await owner.call("agent.command", queued(agent_id, 1));
  const { command } = await owner.call("command.cancel", { command_id: cancelled.command_id });
  assert.equal(command.status, "cancelled");
  const again = await owner.ask({ method: "command.cancel", params: { command_id: cancelled.command_id } });
  assert.equal(again.error.data.reason, "conflict");
  const brief = await owner.call("agent.command", { ...queued(agent_id, 2), expires_ms: 1_000 });
  server.clock.advance(2_000);
  await becomes(owner, brief.command_id, "expired");
  const lasting = await owner.call("agent.command", queued(agent_id, 3));
  const worker = await attach(server, token);
  const delivered = await worker.next("the only command left", isCommand);
  assert.equal(delivered.params.command_id, lasting.command_id);
});

test("B13 at most 1,000 commands wait for an agent: the next is a conflict", async (t) => {
  const { server, owner, agent_id } = await withAgent(t);
  await server.database`
    insert into agent_commands (id, organization_id, agent_id, name, created_at)
    select gen_random_uuid(), ${server.organization.id}, ${agent_id}, 'do', now() from generate_series(1, 999)`;
  await owner.call("agent.command", queued(agent_id, 1));
  const { error } = await owner.ask({ method: "agent.command", params: queued(agent_id, 2) });
  assert.equal(error.data.reason, "conflict");
  const large = { ...queued(agent_id, 3), args: { text: "x".repeat(70_000) } };
  assert.equal(
    (await owner.ask({ method: "agent.command", params: large })).error.data.reason,
    "invalid_params",
  );
});

test("B13 a queued command's idempotency key queues it once; states are pushed in order", async (t) => {
  const { server, owner, agent_id, token } = await withAgent(t);
  await owner.call("subscribe", { topic: `commands:agent:${agent_id}` });
  const params = { ...queued(agent_id, 1), idempotency_key: "k" };
  const [one, two] = await Promise.all([
    owner.call("agent.command", params),
    owner.call("agent.command", params),
  ]);
  assert.equal(one.command_id, two.command_id);
  const { items } = await owner.call("command.list", { agent_id });
  assert.equal(items.length, 1);
  const worker = await attach(server, token);
  const command = await worker.next("the command", isCommand);
  worker.send({ id: command.id, result: null });
  await owner.next(
    "its completion",
    (m) => m.method === "change" && m.params.upserts.some((c: Message) => c.status === "completed"),
  );
  const states = owner.received.flatMap((m) =>
    m.method === "change" ? m.params.upserts.map((c: Message) => c.status) : [],
  );
  assert.deepEqual(states, ["queued", "delivered", "completed"]);
});

test("P24 another organization's commands and agents are not found", async (t) => {
  const { server, owner, agent_id } = await withAgent(t);
  const { command_id } = await owner.call("agent.command", queued(agent_id, 1));
  const other = await server.addOrganization("Other");
  const stranger = await server.wire({ token: other.token });
  for (const [method, params] of [
    ["agent.command", { agent_id, name: "ping" }],
    ["agent.command", queued(agent_id, 2)],
    ["command.get", { command_id }],
    ["command.list", { agent_id }],
    ["command.cancel", { command_id }],
    ["command.get", { command_id: randomUUID() }],
    ["subscribe", { topic: `commands:agent:${agent_id}` }],
  ] as const)
    assert.equal((await stranger.ask({ method, params })).error.data.reason, "not_found", method);
  assert.equal(await statusOf(owner, command_id), "queued");
});

test("B13 the SDK's agent does a command once by its id, also when it is delivered again", async (t) => {
  const { server, owner, agent_id, token } = await withAgent(t);
  const done: string[] = [];
  let finish = () => {};
  const begun = new Promise<void>((resolve) => {
    const agent = connectAgent({ url: server.url, token, random: () => 0 });
    t.after(async () => (await agent).stop());
    void agent.then((connected) =>
      connected.onCommand("do", async (_args, { id }) => {
        done.push(id);
        resolve();
        await new Promise<void>((after) => {
          finish = after;
        });
        return { done: true };
      }),
    );
  });
  await until(() => server.services.attachments.count === 1, { what: "the agent to attach" });
  const { command_id } = await owner.call("agent.command", queued(agent_id, 1));
  await begun;
  // Its connection is lost while the handler runs; the handler ends before the command is delivered again.
  await server.restart();
  finish();
  const again = await server.wire();
  await becomes(again, command_id, "completed");
  assert.deepEqual(done, [command_id]);
});
