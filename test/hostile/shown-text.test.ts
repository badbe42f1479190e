import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Writable } from "node:stream";
import { type TestContext, test } from "node:test";
import { createLog } from "../../src/log.ts";
import { agentRecord, fakeServer, ID } from "../support/fake-server.ts";
import { setUp, work } from "../support/local-gateway.ts";
import { Muster, run } from "../support/muster-process.ts";

/** What no terminal and no reader of a log is to be given as it is. */
const HOSTILE =
  "\u001b[2J\u0007\u007f\u0085\u009b31m\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\u200b\u00ad\u3164\ufeff";
const RAW = /[\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
const ESCAPED = /\\u001b\[2J\\u0007\\u007f\\u0085\\u009b31m/;

/** What is unseen in a text besides line breaks and, for a terminal, colours. */
const unseenIn = (text: string, colours = false) =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
  (colours ? text.replace(/\u001b\[[0-9;]*m/g, "") : text).replaceAll("\n", "").match(RAW) ?? [];

test("the log shows what is unseen as escapes, in a terminal and as JSON", () => {
  for (const isTTY of [false, true]) {
    let text = "";
    const stream = new Writable({
      write(chunk, _encoding, done) {
        text += chunk;
        done();
      },
    });
    const log = createLog("info", Object.assign(stream, { isTTY }));
    log.info({ agent: HOSTILE, deep: { [`key${HOSTILE}`]: [HOSTILE] } }, `made ${HOSTILE}`);
    log.error({ err: new Error(`gone ${HOSTILE}`) }, "failed");
    log.child({ name: HOSTILE }).warn("from a child");
    assert.deepEqual(unseenIn(text, isTTY), []);
    assert.match(text, ESCAPED);
    if (isTTY) continue;
    const [first] = text.split("\n");
    const line = JSON.parse(first ?? "");
    assert.deepEqual([line.agent, line.msg], [HOSTILE, `made ${HOSTILE}`]);
  }
});

test("a line break in what is logged begins no line of its own in a terminal", () => {
  let text = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  createLog("info", Object.assign(stream, { isTTY: true })).info({ name: "a\nb" }, "one\nINFO: two\rthree");
  assert.equal(text.trim().split(/[\n\r]/).length, 1);
});

async function fake(t: TestContext) {
  const item = { ...agentRecord(1, { name: `Ada${HOSTILE}` }) };
  const command = {
    id: ID,
    organization_id: ID,
    agent_id: ID,
    name: `c${HOSTILE}`,
    args: null,
    status: "queued",
  };
  const times = { result: null, error: null, attempts: 0, created_at: "2026-01-01T00:00:00.000Z" };
  const server = await fakeServer({
    "agent.get": () => ({ agent: item }),
    "agent.list": () => ({ items: [item], total: 1, next_cursor: null }),
    "command.list": () => ({ items: [{ ...command, ...times }], total: 1, next_cursor: null }),
    "user_token.list": () => ({
      items: [{ id: "0".repeat(24), name: HOSTILE, user_id: ID, created_at: HOSTILE, expires_at: HOSTILE }],
      total: 1,
      next_cursor: null,
    }),
    subscribe: ({ topic }) => ({ topic, epoch: "e", offset: 0, items: [item], more: false }),
  });
  t.after(() => server.close());
  return { server, environment: { MUSTER_URL: server.url, MUSTER_TOKEN: "t" } };
}

test("no verb prints what is unseen as it is", async (t) => {
  const { server, environment } = await fake(t);
  for (const words of [
    ["call", "agent.get", `{"agent_id":"${ID}"}`],
    ["commands", ID],
    ["commands", ID, "--json"],
    ["token", "list"],
    ["token", "list", "--json"],
    ["call", "agent.get", "[]"],
    [`w${HOSTILE.replaceAll("\u0000", "")}`],
    ["command", `nobody${HOSTILE}`, "ping"],
  ]) {
    const { out, err } = await run(t, words, environment);
    assert.deepEqual(unseenIn(out + err), [], words.join(" "));
    assert.notEqual(out + err, "");
  }
  const called = await run(t, ["call", "agent.get", `{"agent_id":"${ID}"}`], environment);
  assert.match(called.out, ESCAPED);
  assert.equal(JSON.parse(called.out).agent.name, `Ada${HOSTILE}`);
  const watching = new Muster(t, ["watch"], environment);
  await watching.says(/snapshot.*\n/);
  assert.deepEqual(unseenIn(watching.out), []);
  assert.match(watching.out, ESCAPED);
  watching.child.kill("SIGINT");
  await watching.done();
  assert.ok(server.sessions.length > 0);
});

test("what people have written makes no heading, list, code or token line in a workspace file", async (t) => {
  const EVIL = [
    "x\n# Evil heading",
    "x\r- evil item",
    "x\n\n```sh\nrm -rf /\n```",
    "x\u2028Token: evil",
    "x\u0085# Evil next line",
    "x\u2029\u000b> evil quote",
    "x\n===",
  ];
  const { driver, folder } = await setUp(t);
  const given = (evil: string, heading: string) =>
    work({
      force: true,
      agent: {
        name: evil,
        sessionKey: evil,
        identityProfile: { role: evil, [heading]: "key" },
        board: { id: "b", name: evil, objective: heading },
      },
      gateway: { name: evil },
    });
  const files = async () => {
    const names = (await readdir(folder)).filter((name) => name.endsWith(".md")).sort();
    const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
    return texts.map((text, place) => ({ name: names[place], text }));
  };
  const shapeOf = (text: string) =>
    text
      .split(/[\p{Cc}\p{Zl}\p{Zp}]/u)
      .map(
        (line) =>
          /^\s*(Token: |(?:[-*+] )?(?:#+ |[-*+] |\d+[.)] |> |```|~~~|===|---)?)/.exec(line)?.[1] ?? "",
      );
  await driver.files(given("harmless", "harmless"));
  const before = await files();
  assert.ok(before.length > 5);
  for (const evil of EVIL)
    for (const objective of [evil, evil.slice(2)]) {
      await driver.files(given(evil, objective));
      for (const [place, { name, text }] of (await files()).entries()) {
        assert.deepEqual(
          shapeOf(text),
          shapeOf(before[place]?.text ?? ""),
          `${name} with ${JSON.stringify(evil)}`,
        );
      }
    }
});
