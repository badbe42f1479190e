import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { readConfig } from "../src/config.ts";
import { packageRoot } from "../src/package-root.ts";
import { CLOSE } from "../src/protocol/close-codes.ts";
import { ERRORS } from "../src/protocol/errors.ts";
import { METHODS } from "../src/protocol/methods.ts";
import { until } from "./support/await.ts";
import { folder } from "./support/muster-process.ts";
import { type Bindings, blocksOf, fillIn, isShown, README, section, tableOf } from "./support/readme.ts";
import { startTestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

test("the README's configuration table has every variable and its default", () => {
  const rows = tableOf("Configuration");
  const source = readFileSync(join(packageRoot, "src/config.ts"), "utf8");
  const variables = [...source.matchAll(/^ {2}([A-Z_]+):/gm)].map(([, name]) => name);
  assert.deepEqual(
    rows.map(([name]) => name),
    variables,
  );
  const defaults = readConfig({});
  let none = 0;
  for (const [name = "", value = ""] of rows)
    if (value === "none") none += 1;
    else {
      const [word = ""] = value.split(" ");
      assert.deepEqual(readConfig({ [name]: word }), defaults, `${name} is not ${word} by default`);
    }
  const unset = Object.values(defaults).filter((value) => value === undefined || String(value) === "");
  assert.equal(unset.length, none);
  assert.equal(readConfig({ DATABASE_URL: "postgres://h/d" }).localGateway, false);
});

test("the README's error table is the server's", () => {
  const told = tableOf("Errors").map(([code, reason, status]) => [reason, code, status]);
  const real = Object.entries(ERRORS).map(([reason, { code, status }]) => [reason, `${code}`, `${status}`]);
  assert.deepEqual(told, real);
});

test("the README's table of close codes is the server's", () => {
  const told = tableOf("Close codes").map(([code, reason, back]) => ({
    code: Number(code),
    reason,
    reconnect: back === "yes, with backoff",
  }));
  assert.deepEqual(
    told,
    Object.values(CLOSE).sort((one, other) => one.code - other.code),
  );
});

test("the README names every method, and no other", () => {
  const told = [
    ...(section("Methods")
      .split("Params and results")[0]
      ?.matchAll(/`([a-z_.]+)`/g) ?? []),
  ];
  assert.deepEqual(told.map(([, name]) => name).sort(), Object.keys(METHODS).sort());
});

test("the README's verbs are those of the command line", () => {
  const source = readFileSync(join(packageRoot, "src/cli/main.ts"), "utf8");
  const verbs = [...source.matchAll(/^ {4}(\w+): \(\) => import/gm)].map(([, verb]) => verb);
  assert.deepEqual(
    tableOf("Command line").map(([verb]) => verb?.split(" ")[0]),
    verbs,
  );
});

test("no line that people are told to type runs a stranger's package", () => {
  const { name, bin } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8"));
  assert.match(name, /^@[a-z-]+\/muster$/);
  assert.equal(JSON.parse(readFileSync(join(packageRoot, "package-lock.json"), "utf8")).name, name);
  const sources = readdirSync(join(packageRoot, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(join(packageRoot, "src", file), "utf8"));
  for (const text of [README, ...sources]) {
    for (const [line] of text.matchAll(/\bnpx .*/g)) assert.match(line, /^npx --no muster/);
    // Its own name is not on the path of who has run `npm ci`, and elsewhere it may be anything.
    for (const [line] of text.matchAll(/^ *muster .*|`muster (call|serve|watch|token).*/gm))
      assert.fail(line);
    for (const [, from] of text.matchAll(/from "([^".]*muster[^"]*)"/g)) assert.equal(from, `${name}/client`);
  }
  assert.deepEqual(Object.keys(bin), ["muster"]);
});

test("the README's frames are what a server sends and takes", async (t) => {
  const server = await startTestServer(t);
  const bindings: Bindings = new Map([["OWNER_TOKEN", server.organization.token]]);
  const wires = new Map<string, { wire: Wire; used: Set<Message> }>();
  const blocks = blocksOf("frames");
  assert.ok(blocks.length > 0);
  for (const { label, text } of blocks) {
    const { wire, used } = wires.get(label) ?? { wire: await server.connect(), used: new Set<Message>() };
    wires.set(label, { wire, used });
    for (const line of text.trim().split("\n")) {
      const said = fillIn(line.slice(2), bindings);
      if (line.startsWith("→")) wire.sendRaw(said);
      else if (said.startsWith("close")) assert.equal((await wire.closing()).code, Number(said.slice(6)));
      else {
        const shown: unknown = JSON.parse(said);
        const matched = await until(
          () => {
            for (const message of wire.received) {
              const found: Bindings = new Map(bindings);
              if (!used.has(message) && isShown(shown, message, found)) return { message, found };
            }
            return undefined;
          },
          { what: line, timeoutMs: 3_000 },
        );
        used.add(matched.message);
        for (const [word, value] of matched.found) bindings.set(word, value);
      }
    }
  }
});

test("the README's HTTP paths and figures are there", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Curl", board_id: board.id });
  for (const [name = ""] of tableOf("HTTP")) {
    const [method = "", path = ""] = name.replace("AGENT", agent.id).split(" ");
    const headers = { "x-agent-token": token };
    const answer = await fetch(server.url + path, { method, headers });
    assert.equal(answer.status, 200, name);
    const body = await answer.text();
    if (path === "/metrics")
      for (const [figure] of README.matchAll(/muster_\w+/g)) assert.ok(body.includes(figure), figure);
  }
});

/** Runs one of the README's programs. Resolves lines as they are printed. */
function program(t: TestContext, name: string, environment: Record<string, string>) {
  const block = blocksOf("js").find(({ text }) => text.startsWith(`// ${name}\n`));
  assert.ok(block, `the README has no ${name}`);
  const file = join(folder(t), name.replace(/\.js$/, ".mjs"));
  const client = pathToFileURL(join(packageRoot, "src/client/index.ts")).href;
  writeFileSync(file, block.text.replace('"@muster-server/muster/client"', JSON.stringify(client)));
  const child: ChildProcess = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), file], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const exited = once(child, "close");
  let out = "";
  child.stdout?.on("data", (text) => {
    out += text;
  });
  return {
    child,
    says: (pattern: RegExp) =>
      until(() => pattern.exec(out) ?? undefined, { what: `${name} to say ${pattern}` }),
    async ended() {
      await exited;
      return child.exitCode;
    },
  };
}

test("the README's two programs run as they stand", async (t) => {
  const server = await startTestServer(t);
  const user = program(t, "user.js", { MUSTER_URL: server.url, MUSTER_TOKEN: server.organization.token });
  const [, token = ""] = await user.says(/^token: (\S+)$/m);
  const agent = program(t, "agent.js", { MUSTER_URL: server.url, MUSTER_TOKEN: token });
  await agent.says(/^connected$[\s\S]*^online$/m);
  await user.says(/^Sweeper is online$/m);
  assert.equal(await user.ended(), 0);
  const owner = await server.wire();
  const { items } = await owner.call("agent.list", { name: "Sweeper" });
  await owner.call("agent.update", { agent_id: items[0].id, name: "Mop" });
  await agent.says(/^I am called Mop now$/m);
  agent.child.kill("SIGINT");
  await agent.says(/^ended: stopped$/m);
  assert.equal(await agent.ended(), 0);
});
