import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

const TEMPLATE = "s".repeat(90_000);
/** Far more requests than may wait. */
const MOST_ASKED = 10_000;
/** What a server may leave waiting for one socket (1 MiB, and what it is at), and what the kernel may take on both sides. */
const MOST_IN_BETWEEN = 4 * 1_048_576 + kernelBuffer("tcp_wmem") + kernelBuffer("tcp_rmem");

/** Bytes to which this machine lets one side's buffer of a socket grow. */
function kernelBuffer(setting: "tcp_rmem" | "tcp_wmem"): number {
  return Number(readFileSync(`/proc/sys/net/ipv4/${setting}`, "utf8").trim().split(/\s+/)[2]);
}

/** A fleet of one, whose every change weighs a lot, and a watcher. */
async function scene(server: TestServer, codec: "json" | "msgpack") {
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const created = await owner.call("agent.create", {
    name: "Heavy",
    board_id: board.id,
    soul_template: TEMPLATE,
    identity_template: TEMPLATE,
  });
  const reader = await server.wire({ codec });
  const { offset } = await reader.call("subscribe", { topic: "agents" });
  const witness = await server.wire();
  await witness.call("subscribe", { topic: "agents" });
  return { owner, agentId: created.agent.id as string, reader, witness, offset: offset as number };
}

/** Changes the agent so often, and waits until each change was pushed to who reads. */
async function push(owner: Wire, witness: Wire, agent_id: string, from: number, until: number) {
  for (let i = from; i < until; i++) {
    const seen = witness.received.length;
    await owner.call("agent.update", { agent_id, name: `Heavy ${i}` });
    await witness.pushed(agent_id, `change ${i}`, (agent: Message) => agent.name === `Heavy ${i}`, seen);
    // Kept, they would be the memory that is looked at.
    witness.received.length = 0;
  }
}

for (const codec of ["json", "msgpack"] as const)
  test(`B11 who does not read is left out, and starts again from a fresh snapshot (${codec})`, async (t) => {
    const server = await startTestServer(t);
    const { owner, agentId, reader, witness, offset } = await scene(server, codec);
    reader.socket.pause();
    await push(owner, witness, agentId, 0, 90);
    reader.socket.resume();
    const reset = await reader.next("reset", (message) => message.method === "reset");
    assert.equal(reset.params.items[0].name, "Heavy 89");
    const before = reader.received.filter((message) => message.method === "change");
    before.forEach(({ params }, position) => {
      assert.equal(params.offset, offset + 1 + position, "what comes before the reset has no gap");
    });
    assert.ok(before.length < 89, "not all of it was kept for the one who did not read");
    const from = reader.received.length;
    await push(owner, witness, agentId, 90, 93);
    await reader.pushed(agentId, "what is new", (agent) => agent.name === "Heavy 92");
    reader.received.slice(from).forEach(({ params }, position) => {
      assert.equal(params.offset, reset.params.offset + 1 + position);
    });
  });

test("who does not read for 30 s is closed with 4013, and the others never notice", async (t) => {
  const server = await startTestServer(t);
  const { owner, agentId, reader, witness } = await scene(server, "json");
  const other = await server.wire();
  await other.call("subscribe", { topic: "activity" });
  reader.socket.pause();
  await push(owner, witness, agentId, 0, 90);
  server.clock.advance(30_000);
  await push(owner, witness, agentId, 90, 91);
  reader.socket.resume();
  assert.equal((await reader.closing()).code, 4013);
  await other.next("the last entry", (message) =>
    message.params?.upserts?.some((entry: Message) => entry.message.includes("Heavy 90")),
  );
});

test("who asks without reading is answered no further, and closed when too much waits", async (t) => {
  const server = await startTestServer(t);
  const { owner, agentId, reader } = await scene(server, "json");
  reader.socket.pause();
  let sent = 0;
  const ask = () => {
    for (let i = 0; i < 60; i++) {
      reader.send({ id: `q${sent}`, method: "agent.get", params: { agent_id: agentId } });
      sent += 1;
    }
  };
  const isOpen = async () =>
    Number(/^muster_sessions (\d+)/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1]) === 3;
  while (await isOpen()) {
    ask();
    await owner.call("organization.get");
    assert.ok(sent < MOST_ASKED, "the server keeps more and more for it");
  }
  reader.socket.resume();
  assert.equal((await reader.closing()).code, 4029);
  // Others were refused, which weighs nothing.
  const answered = reader.received.filter(({ id, result }) => String(id).startsWith("q") && result).length;
  assert.ok(answered * 2 * TEMPLATE.length < MOST_IN_BETWEEN, `${answered} answers were on their way`);
});
