import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MusterError } from "../src/protocol/errors.ts";
import { start } from "./support/client-fixture.ts";
import { agentHello, agentRecord } from "./support/fake-server.ts";
import { folder, Muster, run } from "./support/muster-process.ts";

test("the runner beats, takes a rotated token, and signs off when it is stopped", async (t) => {
  const server = await start(t, {
    hello: () => agentHello(),
    heartbeat: () => ({ agent: agentRecord(1) }),
  });
  const home = folder(t);
  const tokenFile = join(home, "token");
  writeFileSync(tokenFile, "first\n");
  const muster = new Muster(t, ["agent", "--url", server.url, "--token-file", tokenFile]);
  const session = await server.session(0);
  assert.equal((await session.received("hello")).token, "first");
  assert.deepEqual(await session.received("heartbeat"), { n: 1, activity: "idle" });
  await muster.says(/^connected as agent 1/m);
  session.notify("ack", { n: 1 });
  await muster.says(/^online/m);
  const answer = await session.ask("config", { ch: 0, agent: agentRecord(1), hash: "h1", token: "second" });
  assert.deepEqual(answer, { applied: "h1" });
  assert.equal(readFileSync(tokenFile, "utf8"), "second\n");
  assert.equal(statSync(tokenFile).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(home), ["token"]);
  session.close(1001, "going away");
  await muster.says(/^disconnected: /m);
  assert.equal((await (await server.session(1)).received("hello")).token, "second");
  await muster.says(/connected[\s\S]*connected as agent 1/);
  muster.child.kill("SIGTERM");
  assert.equal((await muster.done()).code, 0);
  const last = await server.session(1);
  assert.equal((await last.received("heartbeat", last.count("heartbeat") - 1)).status, "offline");
});

test("the runner ends with what the server says last", async (t) => {
  const server = await start(t, {
    hello: ({ token }) => {
      if (token === "bad") throw new MusterError("unauthenticated", "no such token");
      return agentHello();
    },
  });
  const home = folder(t);
  const runner = (token: string, ...words: string[]) => {
    writeFileSync(join(home, token), token);
    return new Muster(t, ["agent", "--url", server.url, "--token-file", join(home, token), ...words]);
  };
  for (const [index, reason] of ["superseded", "deleted", "revoked"].entries()) {
    const muster = runner("good", "--parent-pipe");
    (await server.session(index)).notify("detached", { ch: 0, reason });
    const { code, out, err } = await muster.done();
    assert.deepEqual([code, err], [0, ""]);
    assert.match(out, new RegExp(`detached: .*${reason}`));
  }
  const refused = await runner("bad").done();
  assert.equal(refused.code, 1);
  assert.match(refused.err, /^error: no such token\n$/);
  const empty = await run(t, ["agent", "--url", server.url, "--token-file", join(home, "none")]);
  assert.equal(empty.code, 1);
});

test("the runner does not outlive its parent, and does not sign off for it", async (t) => {
  const server = await start(t, { hello: () => agentHello() });
  const tokenFile = join(folder(t), "token");
  writeFileSync(tokenFile, "first");
  const muster = new Muster(t, ["agent", "--url", server.url, "--token-file", tokenFile, "--parent-pipe"]);
  const session = await server.session(0);
  await muster.says(/connected/);
  muster.child.stdin.end();
  assert.equal((await muster.done()).code, 0);
  await session.closed();
  assert.equal((await session.received("heartbeat", session.count("heartbeat") - 1)).status, undefined);
});
