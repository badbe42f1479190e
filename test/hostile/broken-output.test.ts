import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { until } from "../support/await.ts";
import { agentRecord, fakeServer, ID } from "../support/fake-server.ts";
import { folder, Muster } from "../support/muster-process.ts";
import { startTestServer } from "../support/server.ts";

test("no verb of the command line answers a closed pipe with a stack", async (t) => {
  const server = await fakeServer({
    "agent.list": () => ({
      items: Array.from({ length: 500 }, (_, n) => agentRecord(n)),
      total: 1,
      next_cursor: null,
    }),
    "user_token.list": () => ({ items: [], total: 0, next_cursor: null }),
    "command.list": () => ({ items: [], total: 0, next_cursor: null }),
    "agent.command": () => ({ command_id: ID, status: "completed", result: "x".repeat(100_000) }),
    subscribe: ({ topic }) => ({ topic, epoch: "e", offset: 0, items: [agentRecord(1)], more: false }),
  });
  t.after(() => server.close());
  const environment = { MUSTER_URL: server.url, MUSTER_TOKEN: "t" };
  for (const words of [
    ["call", "agent.list"],
    ["commands", ID],
    ["command", ID, "ping"],
    ["token", "list"],
    ["watch"],
    ["--version"],
    ["--help"],
  ]) {
    const muster = new Muster(t, words, environment);
    muster.child.stdout.destroy();
    const { code, err } = await muster.done();
    assert.deepEqual([words, code, err], [words, 0, ""]);
  }
  const blind = new Muster(t, ["call"], environment);
  blind.child.stderr.destroy();
  assert.equal((await blind.done()).code, 2);
});

/** An agent that runs, as the command line does it. */
async function running(t: TestContext) {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Ada", board_id: board.id });
  const file = join(folder(t), "token");
  writeFileSync(file, token);
  const muster = new Muster(t, ["agent", "--url", server.url, "--token-file", file]);
  await muster.says(/online/);
  const status = async () => (await owner.call("agent.get", { agent_id: agent.id })).agent.status;
  return { owner, agent, muster, status };
}

test("an agent whose terminal closes signs off", async (t) => {
  const { muster, status } = await running(t);
  muster.child.kill("SIGHUP");
  const { code, err } = await muster.done();
  assert.deepEqual([code, err, await status()], [0, "", "offline"]);
});

test("an agent whose output nobody reads any more signs off", async (t) => {
  const { owner, agent, muster, status } = await running(t);
  muster.child.stdout.destroy();
  // It says that it applies this.
  await owner.call("agent.update", { agent_id: agent.id, name: "Eve" });
  const { code, err } = await muster.done();
  assert.deepEqual([code, err, await status()], [0, "", "offline"]);
});

for (const end of ["a closed terminal", "a closed pipe"] as const)
  test(`a load removes what it made also after ${end}`, async (t) => {
    const server = await startTestServer(t);
    const owner = await server.wire();
    const environment = { MUSTER_URL: server.url, MUSTER_TOKEN: server.organization.token };
    const muster = new Muster(
      t,
      ["load", "--agents", "5", "--duration", "1s", "--warm-up", "10ms"],
      environment,
    );
    await until(() => /measuring|beating/.test(muster.err) || muster.err.split("\n").length > 2, {
      what: "the load to begin",
    });
    if (end === "a closed pipe") muster.child.stdout.destroy();
    else muster.child.kill("SIGHUP");
    const { err } = await muster.done();
    assert.doesNotMatch(err, /^ +at |EPIPE/m);
    const { total } = await owner.call("agent.list", {});
    assert.equal(total, 0);
  });
