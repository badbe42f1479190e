import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { readOptions } from "../src/cli/load/options.ts";
import { until } from "./support/await.ts";
import { folder, Muster, run } from "./support/muster-process.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const SHORT = ["--warm-up", "50ms", "--duration", "300ms"];

const environmentOf = (server: TestServer) => ({
  MUSTER_URL: server.url,
  MUSTER_TOKEN: server.organization.token,
});

/** What is there of all that a load makes. */
async function leftovers(server: TestServer): Promise<number[]> {
  const [row] = await server.database`
    select (select count(*) from agents) as agents, (select count(*) from boards) as boards,
      (select count(*) from gateways) as gateways, (select count(*) from enrolments) as enrolments`;
  return [row?.agents, row?.boards, row?.gateways, row?.enrolments].map(Number);
}

const measuring = (muster: Muster) =>
  until(() => /measuring/.test(muster.err), { what: "the load to measure", timeoutMs: 30_000 });

/** Agents that a load did not make: a file of their tokens, and their ids. */
async function tokenFile(t: TestContext, server: TestServer, count: number) {
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const made = [];
  for (let number = 1; number <= count; number++)
    made.push(await owner.call("agent.create", { name: `Given ${number}`, board_id: board.id }));
  const path = join(folder(t), "tokens");
  writeFileSync(path, `${made.map(({ token }) => token).join("\n")}\n`);
  return { path, owner, ids: made.map(({ agent }) => agent.id) };
}

test("B8 load makes agents, has them beat as fast as it is acknowledged, and removes all that it made", async (t) => {
  const server = await startTestServer(t);
  const words = ["load", "--sockets", "3", "--channels", "4", "--json", ...SHORT];
  const { code, out, err } = await run(t, words, environmentOf(server));
  assert.deepEqual([code, err], [0, ""]);
  const { seconds, acked, rate, latency_ms, generator_cpu, ...rest } = JSON.parse(out);
  assert.deepEqual(rest, {
    agents: 12,
    sockets: 3,
    channels: 4,
    codec: "json",
    batch: false,
    rate_asked: null,
    lost: 0,
    errors: 0,
    first_error: null,
    reconnects: 0,
  });
  assert.ok(seconds > 0.29 && acked >= 12 && generator_cpu > 0, out);
  assert.ok(Math.abs(rate - acked / seconds) < 1, out);
  const { p50, p90, p99, p99_9, max } = latency_ms;
  assert.ok(p50 > 0 && p50 <= p90 && p90 <= p99 && p99 <= p99_9 && p99_9 <= max, out);
  assert.deepEqual(await leftovers(server), [0, 0, 0, 0]);
});

test("B8 load at a rate sends so many and no more, each way of writing them, and tells people", async (t) => {
  const server = await startTestServer(t);
  const { path } = await tokenFile(t, server, 4);
  for (const words of [["--batch"], ["--codec", "msgpack"]]) {
    const all = ["load", "--tokens", path, "--sockets", "2", "--rate", "100", "--duration", "1s", ...words];
    const { code, out, err } = await run(t, [...all, "--warm-up", "100ms"], environmentOf(server));
    assert.equal(code, 0, err);
    const [, heartbeats = ""] = /^acknowledged +(\d+) in /m.exec(out) ?? [];
    assert.ok(Number(heartbeats) > 50 && Number(heartbeats) < 200, out);
    assert.match(out, /^4 agents = 2 sockets × 2 channels, .*100 heartbeats\/s asked for$/m);
    assert.match(out, /^latency +p50 .* ms +p90 .* ms +p99 .* ms +p99\.9 .* ms +max .* ms$/m);
    assert.match(out, /^trouble +0 errors, 0 lost, 0 reconnects$/m);
  }
  assert.deepEqual(await leftovers(server), [4, 1, 1, 0], "given agents stay");
});

test("load leaves what it made when it is to keep it", async (t) => {
  const server = await startTestServer(t);
  const { code, err } = await run(t, ["load", "--agents", "2", "--keep", ...SHORT], environmentOf(server));
  assert.equal(code, 0);
  assert.match(err, /kept the gateway and the board "Load [0-9a-f]+"/);
  assert.deepEqual(await leftovers(server), [2, 1, 1, 1]);
});

test("load removes what it made when it is stopped, once it measures or before", async (t) => {
  const server = await startTestServer(t);
  const muster = new Muster(t, ["load", "--agents", "3", "--duration", "10m"], environmentOf(server));
  await measuring(muster);
  // From a terminal and from npm: one Ctrl+C.
  muster.child.kill("SIGINT");
  muster.child.kill("SIGINT");
  const { code, out, err } = await muster.done();
  assert.equal(code, 1);
  assert.match(out, /^latency/m);
  assert.match(err, /error: stopped before its time\n$/);
  assert.deepEqual(await leftovers(server), [0, 0, 0, 0]);

  const early = new Muster(t, ["load", "--agents", "5000"], environmentOf(server));
  await until(async () => ((await leftovers(server))[0] ?? 0) > 0, { what: "agents", timeoutMs: 30_000 });
  early.child.kill("SIGTERM");
  assert.equal((await early.done()).code, 1);
  assert.deepEqual(await leftovers(server), [0, 0, 0, 0]);
});

test("load goes on when the server comes back, and counts what was lost", async (t) => {
  const server = await startTestServer(t);
  const { path } = await tokenFile(t, server, 2);
  const words = ["load", "--tokens", path, "--rate", "200", "--duration", "8s", "--warm-up", "0ms"];
  const muster = new Muster(t, words, environmentOf(server));
  await measuring(muster);
  await server.restart();
  const { code, out, err } = await muster.done();
  assert.equal(code, 0, err);
  const [, lost, reconnects] = /0 errors, (\d+) lost, (\d+) reconnects/.exec(out) ?? [];
  assert.ok(Number(lost) > 0 && Number(reconnects) >= 2, out);
});

test("load ends with an error when the server dies and stays away", async (t) => {
  const server = await startTestServer(t);
  const muster = new Muster(t, ["load", "--agents", "2", "--duration", "10m"], environmentOf(server));
  await measuring(muster);
  await server.stop();
  const { code, err } = await muster.done();
  assert.equal(code, 1);
  assert.match(err, /could not remove the gateway and the board "Load [0-9a-f]+" and their agents: /);
  assert.match(err, /error: the server was lost and is not back \(.+\)\n$/);
});

test("load tells what the server says of its agents", async (t) => {
  const server = await startTestServer(t);
  const { path, owner, ids } = await tokenFile(t, server, 2);
  const words = ["load", "--tokens", path, "--channels", "2", "--rate", "100", "--duration", "10m"];
  const muster = new Muster(t, words, environmentOf(server));
  await measuring(muster);
  await owner.call("agent.delete", { agent_id: ids[0], wait: true });
  // Its agents beat in turn: between two beats of the other one there is one of the agent that is gone.
  for (let beats = 0; beats < 2; beats++) {
    server.clock.advance(1_000);
    const now = server.clock.now();
    await until(
      async () => (await server.database`select last_seen_at from last_seen`)[0]?.last_seen_at >= now,
      { what: "the other agent to go on" },
    );
  }
  muster.child.kill("SIGTERM");
  const { out } = await muster.done();
  const [, errors] =
    /^trouble +(\d+) errors, \d+ lost, 0 reconnects; first error: an agent was detached: deleted$/m.exec(
      out,
    ) ?? [];
  assert.ok(Number(errors) > 1, `beats of an agent that is gone are refused: ${out}`);
});

test("load says what is wrong with its command line, and does nothing", async (t) => {
  const none = { agents: undefined, sockets: undefined, channels: undefined, rate: undefined };
  const flags = { ...none, codec: undefined, duration: undefined, "warm-up": undefined };
  for (const [wrong, message] of [
    [{ agents: "10", sockets: "3" }, "agents are sockets × channels: 10 is not 3 × a whole number"],
    [{ agents: "5", sockets: "2", channels: "2" }, "agents are sockets × channels: 5 is not 2 × 2"],
    [{ agents: "20000", sockets: "1" }, "a socket carries at most 10000 agents; use more --sockets"],
    [{ agents: "30000" }, "at most 20000 sockets can be opened; use more --channels"],
    [{ sockets: "0" }, "--sockets must be a whole number from 1 to 20000"],
    [{ sockets: "20000", channels: "10000" }, "there can be at most 1000000 agents"],
    [{ rate: "1.5" }, "--rate must be a whole number from 1 to 1000000"],
    [{ codec: "xml" }, "--codec must be json or msgpack"],
    [{ duration: "10" }, "--duration must be a duration like 500ms, 10s or 5m, at most 30m"],
    [{ "warm-up": "11m" }, "--warm-up must be a duration like 500ms, 10s or 5m, at most 10m"],
  ] as const)
    assert.throws(() => readOptions({ ...flags, ...wrong }, undefined), { name: "UsageError", message });
  const path = join(folder(t), "tokens");
  writeFileSync(path, "mst_agent_one\nmst_agent_two\n");
  for (const [words, message] of [
    [["--agents", "3"], "3 agents are asked for, and there are 2 tokens"],
    [["--keep"], "--keep is about agents that are made; --tokens makes none"],
  ] as const) {
    const { code, out, err } = await run(t, [
      "load",
      "--url",
      "http://127.0.0.1:1",
      "--tokens",
      path,
      ...words,
    ]);
    assert.deepEqual([code, out, err], [2, "", `error: ${message}\nSee \`npx --no muster load --help\`.\n`]);
  }
});

test("load says what is wrong with its agents and its server", async (t) => {
  const server = await startTestServer(t);
  const path = join(folder(t), "tokens");
  writeFileSync(path, "mst_agent_0123456789abcdef01234567_none\n");
  const refused = await run(t, ["load", "--tokens", path], environmentOf(server));
  assert.equal(refused.code, 1);
  assert.match(refused.err, /error: .*token/);
  writeFileSync(path, "\n\n");
  const empty = await run(t, ["load", "--tokens", path], environmentOf(server));
  assert.deepEqual(
    [empty.code, empty.err],
    [1, `error: ${path} holds no tokens; it should have one a line\n`],
  );
  const nobody = await run(t, ["load", "--url", "http://127.0.0.1:1", "--token", "none"]);
  assert.equal(nobody.code, 1);
  assert.match(nobody.err, /cannot reach http:\/\/127\.0\.0\.1:1/);
});
