import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { HeldBodies } from "../../src/edge/held-bodies.ts";
import { until } from "../support/await.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

const MIB = 1_048_576;

/** A request whose body is announced, and begun, and never ends. */
async function begun(server: TestServer, path: string, announced: number, sent: number) {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  let answer = "";
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    answer += chunk.toString();
  });
  const head = `POST ${path} HTTP/1.1\r\nhost: ${hostname}:${port}\r\nx-agent-token: none\r\ncontent-length: ${announced}\r\n\r\n`;
  await new Promise<void>((resolve) => socket.write(head, () => resolve()));
  for (let left = sent; left > 0 && !socket.destroyed; left -= 65_536)
    await new Promise<void>((resolve) =>
      socket.write(Buffer.alloc(Math.min(left, 65_536), "x"), () => resolve()),
    );
  return { socket, answer: () => answer };
}

test("bodies that are on their way have bounds of an address and of all", () => {
  const bodies = new HeldBodies();
  assert.equal(bodies.take("a", 4 * MIB), true);
  assert.equal(bodies.take("a", 1), false);
  for (let peer = 0; peer < 15; peer++) assert.equal(bodies.take(`p${peer}`, 4 * MIB), true);
  assert.equal(bodies.take("b", 1), false);
  bodies.give("a", 4 * MIB);
  assert.equal(bodies.take("b", 4 * MIB), true);
  assert.equal(bodies.take("a", 1), false);
});

test("of bodies that never end some are refused with 503, and there is room when they are gone", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { token } = await owner.call("agent.create", { name: "Ada", board_id: board.id });
  const beat = () =>
    fetch(`${server.url}/api/v1/agents/heartbeat`, {
      method: "POST",
      headers: { "x-agent-token": token },
      body: '{"status":"online"}',
    });
  const peers = await Promise.all(
    Array.from({ length: 80 }, () => begun(server, "/api/v1/agents/heartbeat", 60_000, 59_000)),
  );
  // The token is none, so each is refused in the end; what counts is that the server holds no more than it may.
  await until(() => peers.every(({ answer }) => answer() !== ""), { what: "all to be answered" });
  for (const { socket } of peers) socket.destroy();
  await until(async () => (await beat()).status === 200, { what: "a heartbeat to be taken" });
});
