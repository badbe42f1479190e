import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { findTarget } from "../src/cli/target.ts";
import { MusterError } from "../src/protocol/errors.ts";
import { agentRecord, fakeServer, type Handler, ID } from "./support/fake-server.ts";
import { folder, Muster, run } from "./support/muster-process.ts";

async function start(t: TestContext, handlers: Record<string, Handler> = {}) {
  const server = await fakeServer(handlers);
  t.after(() => server.close());
  return { server, environment: { MUSTER_URL: server.url, MUSTER_TOKEN: "env-token" } };
}

test("call prints the result on one line, and takes params as an argument or from standard input", async (t) => {
  const { server, environment } = await start(t, {
    "agent.get": (params) => ({ given: params, added: [1] }),
  });
  const first = await run(t, ["call", "agent.get", `{"agent_id":"${ID}"}`], environment);
  assert.deepEqual(first, { code: 0, out: `{"given":{"agent_id":"${ID}"},"added":[1]}\n`, err: "" });
  const piped = new Muster(t, ["call", "agent.get", "-", "--url", server.url, "--token", "flag-token"]);
  piped.child.stdin.end('{"agent_id": "x"}');
  assert.deepEqual(await piped.done(), { code: 0, out: '{"given":{"agent_id":"x"},"added":[1]}\n', err: "" });
  const tokens = await Promise.all(
    server.sessions.map(async (session) => (await session.received("hello")).token),
  );
  assert.deepEqual(tokens, ["env-token", "flag-token"]);
});

test("the server's error is a message and exit code 1", async (t) => {
  const { environment } = await start(t, {
    "agent.create": () => {
      throw new MusterError("invalid_params", "The params are not right.", {
        issues: [{ path: ["name"], message: "must not be \u001b[31mempty" }],
      });
    },
  });
  const { code, out, err } = await run(t, ["call", "agent.create"], environment);
  assert.deepEqual([code, out], [1, ""]);
  assert.equal(err, "error: The params are not right.\n  name: must not be \\u001b[31mempty\n");
});

test("wrong usage is told with what would be right, and exit code 2", async (t) => {
  const cases: [string[], RegExp][] = [
    [[], /muster/],
    [["wach"], /no verb wach; did you mean watch\?/],
    [["call"], /METHOD is missing/],
    [["call", "agent.lst"], /no method agent\.lst; did you mean agent\.list/],
    [["call", "agent.list", "{bad"], /not JSON/],
    [["call", "agent.list", "[1]"], /must be an object/],
    [["call", "agent.list", "{}", "more"], /unexpected argument more[\s\S]*muster call --help/],
    [["call", "agent.list", "--nope"], /--nope/],
    [["watch", "--url"], /--url/],
    [["agent", "--url", "http://h"], /token-file/],
    [["token", "make", "x"], /no verb make[\s\S]*muster token --help/],
    [["token", "create", "x", "--expires", "soon"], /duration/],
  ];
  for (const [words, expected] of cases) {
    const { code, out, err } = await run(t, words);
    assert.deepEqual([words, code, out], [words, 2, ""], err);
    assert.match(err, expected);
  }
});

test("without a server or a token it says what to do", async (t) => {
  const nothing = await run(t, ["call", "agent.list"]);
  assert.equal(nothing.code, 1);
  assert.match(nothing.err, /^error: .*muster serve.*--url/);
  const server = await fakeServer();
  await server.close();
  const away = await run(t, ["call", "agent.list", "--url", server.url, "--token", "t"]);
  assert.equal(away.code, 1);
  assert.match(away.err, /^error: cannot reach .*ECONNREFUSED.*muster serve/);
});

test("a kept token is sent to the server that it was kept for only", (t) => {
  const data = folder(t);
  const environment = { MUSTER_DATA_DIR: data };
  writeFileSync(join(data, "credentials.json"), '{"url":"http://127.0.0.1:1","token":"kept"}');
  assert.deepEqual(findTarget({}, environment), { url: "http://127.0.0.1:1", token: "kept" });
  assert.equal(findTarget({ url: "ws://127.0.0.1:1/" }, environment).token, "kept");
  assert.throws(() => findTarget({ url: "http://elsewhere" }, environment), /no token/);
  assert.equal(findTarget({}, { ...environment, MUSTER_TOKEN: "env" }).token, "env");
  writeFileSync(join(data, "token"), " from-file\n");
  assert.equal(findTarget({ "token-file": join(data, "token") }, environment).token, "from-file");
  writeFileSync(join(data, "credentials.json"), "{");
  assert.throws(() => findTarget({}, environment), /credentials\.json is not/);
});

test("a given token goes only where it was told to go, or to this machine", (t) => {
  const data = folder(t);
  const keep = (url: string) =>
    writeFileSync(join(data, "credentials.json"), JSON.stringify({ url, token: "kept" }));
  const environment = { MUSTER_DATA_DIR: data };
  const given = { ...environment, MUSTER_TOKEN: "env" };
  keep("https://planted.example");
  assert.throws(() => findTarget({}, given), /name it by --url/);
  assert.throws(() => findTarget({ token: "flag" }, environment), /name it by --url/);
  writeFileSync(join(data, "token"), "from-file\n");
  assert.throws(() => findTarget({ "token-file": join(data, "token") }, environment), /name it by --url/);
  assert.equal(findTarget({}, environment).token, "kept");
  assert.equal(findTarget({ url: "https://planted.example" }, given).token, "env");
  assert.equal(
    findTarget({}, { ...given, MUSTER_URL: "https://other.example" }).url,
    "https://other.example",
  );
  for (const url of ["http://127.0.0.1:1", "ws://localhost:1", "http://[::1]:1"]) {
    keep(url);
    assert.deepEqual(findTarget({}, given), { url, token: "env" });
  }
});

test("no token goes over plain http to a host that is known by https", (t) => {
  const data = folder(t);
  const environment = { MUSTER_DATA_DIR: data };
  writeFileSync(
    join(data, "credentials.json"),
    JSON.stringify({ url: "https://muster.example", token: "kept" }),
  );
  for (const url of ["http://muster.example", "ws://MUSTER.example:8787", "http://muster.example:443/x"]) {
    assert.throws(() => findTarget({ url }, environment), /unencrypted/, url);
    assert.throws(() => findTarget({ url, token: "flag" }, environment), /unencrypted/, url);
    assert.throws(() => findTarget({}, { ...environment, MUSTER_URL: url }), /unencrypted/, url);
  }
  assert.equal(findTarget({ url: "wss://muster.example/" }, environment).token, "kept");
  assert.throws(() => findTarget({ url: "https://muster.example:8443" }, environment), /no token/);
  assert.throws(
    () => findTarget({ url: "http://a.example" }, { ...environment, MUSTER_URL: "https://a.example" }),
    /unencrypted/,
  );
});

test("watch in a pipe prints a line per change until it is stopped", async (t) => {
  const { server, environment } = await start(t, {
    subscribe: ({ topic }) => ({ topic, epoch: "e", offset: 0, items: [agentRecord(1)], more: false }),
  });
  const muster = new Muster(t, ["watch"], environment);
  await muster.says(/"snapshot".*\n/);
  const session = await server.session(0);
  assert.equal((await session.received("subscribe")).topic, "agents");
  session.notify("change", { topic: "agents", offset: 1, upserts: [], removes: [ID] });
  await muster.says(/"change".*\n/);
  muster.child.kill("SIGINT");
  const { code, out, err } = await muster.done();
  assert.deepEqual([code, err], [0, ""]);
  const lines = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ kind }) => kind),
    ["snapshot", "change"],
  );
  assert.deepEqual(lines[1], { kind: "change", offset: 1, upserts: [], removes: [ID] });
});

test("watch ends quietly when nobody reads any more, and with an error when the server ends the view", async (t) => {
  const { server, environment } = await start(t, {
    subscribe: ({ topic }) => ({ topic, epoch: "e", offset: 0, items: [], more: false }),
  });
  const broken = new Muster(t, ["watch"], environment);
  await broken.says(/snapshot/);
  broken.child.stdout.destroy();
  (await server.session(0)).notify("change", { topic: "agents", offset: 1, upserts: [], removes: [ID] });
  const quiet = await broken.done();
  assert.deepEqual([quiet.code, quiet.err], [0, ""]);

  const ended = new Muster(t, ["watch", "activity"], environment);
  await ended.says(/snapshot/);
  (await server.session(1)).notify("end", { topic: "activity", reason: "access lost" });
  const { code, err } = await ended.done();
  assert.deepEqual([code, err], [1, "error: the server ended this view: access lost\n"]);
});

const userToken = (n: number, name: string) => ({
  id: `tok${n}`,
  name,
  user_id: ID,
  created_at: "2026-01-01T00:00:00.000Z",
  expires_at: null,
});

test("token makes, lists (all pages) and revokes", async (t) => {
  const { server, environment } = await start(t, {
    "user_token.create": ({ name }) => ({ user_token: userToken(1, String(name)), token: "secret" }),
    "user_token.list": ({ cursor }) =>
      cursor === undefined
        ? { items: [userToken(1, "one\u001b[2J")], total: 2, next_cursor: "c" }
        : { items: [userToken(2, "two")], total: 2, next_cursor: null },
    "user_token.delete": () => ({ ok: true, deleted: 3 }),
  });
  const made = await run(t, ["token", "create", "ci", "--expires", "30d"], environment);
  assert.deepEqual([made.code, made.out], [0, "secret\n"]);
  assert.match(made.err, /not shown again/);
  assert.deepEqual(await server.sessions[0]?.received("user_token.create"), {
    name: "ci",
    expires_in: "30d",
  });
  const listed = await run(t, ["token", "list"], environment);
  assert.deepEqual(
    listed.out.split("\n").map((line) => line.slice(0, 38).trimEnd()),
    [
      "ID                        NAME",
      "tok1                      one\\u001b[2J",
      "tok2                      two",
      "",
    ],
  );
  const json = await run(t, ["token", "list", "--json"], environment);
  assert.deepEqual(
    JSON.parse(json.out).map(({ id }: { id: string }) => id),
    ["tok1", "tok2"],
  );
  const gone = await run(t, ["token", "delete", "tok1"], environment);
  assert.deepEqual([gone.code, gone.out], [0, "deleted tok1, and 2 made with it\n"]);
  assert.deepEqual(await server.sessions[3]?.received("user_token.delete"), { token_id: "tok1" });
});
