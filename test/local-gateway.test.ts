import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { pretended, provision, refusal, setUp, TOKEN, work } from "./support/local-gateway.ts";

test("P11 provisioning leaves a private folder, its files, the token for its owner only, and one process", async (t) => {
  const { started, startChild } = pretended();
  const { driver, folder } = await setUp(t, startChild);
  process.env.DATABASE_URL ??= "postgres://secret@db/x";
  t.after(() => {
    if (process.env.DATABASE_URL === "postgres://secret@db/x") delete process.env.DATABASE_URL;
  });
  await provision(driver);

  assert.equal((await lstat(folder)).mode & 0o777, 0o700);
  const tokenFile = join(folder, ".muster", "token");
  assert.equal((await lstat(tokenFile)).mode & 0o777, 0o600);
  assert.equal((await readFile(tokenFile, "utf8")).trim(), TOKEN);
  const files = (await readdir(folder)).filter((name) => name.endsWith(".md"));
  assert.equal(files.length, 10);
  for (const name of files) assert.doesNotMatch(await readFile(join(folder, name), "utf8"), /secret/, name);
  const agent = JSON.parse(await readFile(join(folder, ".muster", "agent.json"), "utf8"));
  assert.deepEqual(agent, { id: "ada-id", name: "Ada", generation: 1, heartbeat_config: { every: "10m" } });

  assert.equal(started.length, 1);
  const { command } = started[0] ?? assert.fail();
  assert.equal(command.file, process.execPath);
  assert.equal(command.cwd, folder);
  const line = command.args.slice(command.args.indexOf("agent"));
  assert.deepEqual(line, [
    "agent",
    "--url",
    "http://127.0.0.1:8787",
    "--token-file",
    tokenFile,
    "--parent-pipe",
  ]);
  assert.doesNotMatch(JSON.stringify(command), new RegExp(TOKEN));
  assert.equal(command.env.DATABASE_URL, undefined);
  assert.equal(command.env.PATH, process.env.PATH);
});

test("P11 names and roots that lead out of the root are refused", async (t) => {
  const { driver, root, base } = await setUp(t);
  for (const slug of ["../../x", "..", "a/b", "", "a\0b", "A", "-a", "a--b", "x y"])
    await assert.rejects(driver.session(work({ agent: { slug } })), refusal(/cannot name a workspace/), slug);
  for (const workspaceRoot of ["..", "../x", "/", "/etc", `${root}x`, "a/../../b"])
    await assert.rejects(
      driver.session(work({ gateway: { workspaceRoot } })),
      refusal(/outside/),
      workspaceRoot,
    );
  await assert.rejects(driver.session(work({ gateway: { workspaceRoot: null } })), refusal(/workspace_root/));
  assert.deepEqual(await readdir(base), []);
  await driver.session(work({ gateway: { workspaceRoot: join(root, "deep", "er") } }));
  assert.ok(existsSync(join(root, "deep", "er", "workspace-ada")));
});

test("a link in place of a folder is not followed, neither to write nor to remove", async (t) => {
  const { driver, root, base, folder } = await setUp(t);
  const outside = join(base, "outside");
  await mkdir(outside);
  await writeFile(join(outside, "precious"), "");
  await mkdir(join(root, "ws"), { recursive: true });

  await symlink(outside, folder);
  for (const run of [driver.session, driver.files, driver.unsession])
    await assert.rejects(run(work()), refusal(/links are not followed/));
  await rm(folder);
  await symlink(outside, join(root, "linked"));
  await assert.rejects(
    driver.session(work({ gateway: { workspaceRoot: "linked" } })),
    refusal(/links are not followed/),
  );
  await mkdir(folder);
  await symlink(outside, join(folder, ".muster"));
  await assert.rejects(driver.files(work()), refusal(/links are not followed/));
  assert.deepEqual(await readdir(outside), ["precious"]);

  await driver.unsession(work());
  assert.equal(existsSync(folder), false);
  assert.deepEqual(await readdir(outside), ["precious"]);
});

test("a file replaced by a link is written in the workspace, not where the link leads", async (t) => {
  const { driver, base, folder } = await setUp(t);
  await provision(driver);
  const victim = join(base, "victim");
  await writeFile(victim, "mine");
  await rm(join(folder, "TOOLS.md"));
  await symlink(victim, join(folder, "TOOLS.md"));
  await driver.files(work());
  assert.equal(await readFile(victim, "utf8"), "mine");
  assert.ok((await lstat(join(folder, "TOOLS.md"))).isFile());
});

test("B5 files that are as wanted are not written again", async (t) => {
  const { driver, folder } = await setUp(t);
  await provision(driver);
  const identify = async () =>
    Promise.all(
      [...(await readdir(folder)), ".muster/token", ".muster/agent.json", ".muster/session.json"]
        .filter((name) => name !== ".muster")
        .map(async (name) => {
          const { ino, mtimeMs } = await lstat(join(folder, name));
          return [name, ino, mtimeMs];
        }),
    );
  const before = await identify();
  await provision(driver);
  assert.deepEqual(await identify(), before);
  await driver.files(work({ agent: { name: "Ada the Second" } }));
  const changed = (await identify()).filter((row, index) => String(row) !== String(before[index]));
  assert.deepEqual(changed.map(([name]) => name).sort(), ["AGENTS.md", "BOOTSTRAP.md", "IDENTITY.md"]);
});

test("P17 an update leaves the agent's own notes alone, and the first-run file unless forced", async (t) => {
  const { driver, folder } = await setUp(t);
  await provision(driver);
  for (const name of ["SELF.md", "USER.md", "MEMORY.md", "AGENTS.md"])
    await writeFile(join(folder, name), "in my own hand");
  await rm(join(folder, "BOOTSTRAP.md"));
  const update = (generation: number, force: boolean) =>
    provision(driver, work({ action: "update", force, agent: { generation } }));

  await update(2, false);
  assert.equal(existsSync(join(folder, "BOOTSTRAP.md")), false);
  await update(3, true);
  assert.equal(existsSync(join(folder, "BOOTSTRAP.md")), true);
  for (const name of ["SELF.md", "USER.md", "MEMORY.md"])
    assert.equal(await readFile(join(folder, name), "utf8"), "in my own hand");
  assert.match(await readFile(join(folder, "AGENTS.md"), "utf8"), /Ada/);
  await rm(join(folder, "MEMORY.md"));
  await update(4, false);
  assert.equal(existsSync(join(folder, "MEMORY.md")), true);
});

test("the token stays as it is when none is on its way, and changes when one is", async (t) => {
  const { driver, folder } = await setUp(t);
  const token = () => readFile(join(folder, ".muster", "token"), "utf8").then((text) => text.trim());
  await provision(driver);
  await driver.files(work({ token: null }));
  assert.equal(await token(), TOKEN);
  await driver.files(work({ token: "another" }));
  assert.equal(await token(), "another");
});

test("B5 late work of an older generation changes nothing", async (t) => {
  const processes = pretended();
  const first = await setUp(t, processes.startChild);
  const update = work({ action: "update", token: "newer", agent: { generation: 2, name: "New" } });
  await provision(first.driver, update);
  // A second driver knows only what is on disk.
  const second = await setUp(t, processes.startChild, first.base);
  for (const { driver } of [first, second])
    for (const step of ["session", "roster", "files", "wake"] as const)
      await assert.rejects(driver[step](work()), refusal(/newer work/), step);
  assert.equal((await readFile(join(first.folder, ".muster", "token"), "utf8")).trim(), "newer");
  assert.match(await readFile(join(first.folder, "IDENTITY.md"), "utf8"), /New/);
  assert.equal(processes.started.length, 1);

  await first.driver.unroster(work({ action: "delete", agent: { generation: 3 } }));
  await first.driver.unsession(work({ action: "delete", agent: { generation: 3 } }));
  await assert.rejects(first.driver.files(update), refusal(/newer work/));
  assert.equal(existsSync(first.folder), false);
});

test("work that was called off does nothing", async (t) => {
  const { driver, folder } = await setUp(t);
  await assert.rejects(driver.session(work({ signal: AbortSignal.abort() })), refusal(/newer work/));
  assert.equal(existsSync(folder), false);
});

test("P24 a workspace of one agent is neither taken nor removed by another", async (t) => {
  const { startChild, alive } = pretended();
  const { driver, folder } = await setUp(t, startChild);
  await provision(driver);
  const other = work({ agent: { id: "eve-id", name: "Eve" }, gateway: { organizationId: "other" } });
  await assert.rejects(driver.session(other), refusal(/workspace-ada belongs to another agent/));
  await assert.rejects(driver.files(other), refusal(/another agent/));
  await driver.unroster(other);
  await driver.unsession(other);
  await driver.cleanUp(other);
  assert.equal(alive().length, 1);
  assert.equal((await readFile(join(folder, ".muster", "token"), "utf8")).trim(), TOKEN);
});

test("B7 a template that cannot be rendered refuses the step for good, and the files stay", async (t) => {
  const { driver, folder } = await setUp(t);
  await provision(driver);
  const before = await readFile(join(folder, "SOUL.md"), "utf8");
  const bad = work({
    action: "update",
    token: "new",
    agent: { generation: 2, soulTemplate: "{% nonsense %}" },
  });
  await assert.rejects(driver.files(bad), refusal(/^soul_template cannot be rendered: .*nonsense/));
  assert.equal(await readFile(join(folder, "SOUL.md"), "utf8"), before);
  assert.equal((await readFile(join(folder, ".muster", "token"), "utf8")).trim(), TOKEN);
});

test("P22 a delete ends the process and removes the folder; each step can be done again", async (t) => {
  const { startChild, alive } = pretended();
  const { driver, folder, root, clock } = await setUp(t, startChild);
  await provision(driver);
  await provision(driver, work({ agent: { id: "bob-id", slug: "bob" } }));
  const remove = work({ action: "delete", token: null, agent: { generation: 2 } });
  for (const step of [driver.unroster, driver.unroster, driver.unsession, driver.unsession, driver.cleanUp])
    await step(remove);
  assert.equal(existsSync(folder), false);
  assert.deepEqual(await readdir(join(root, "ws")), ["workspace-bob"]);
  assert.equal(alive().length, 1);
  assert.equal(clock.timers, 0);
});

test("B10 what could never be made is deleted without complaint, and a forced delete is cleaned up after", async (t) => {
  const { startChild, alive } = pretended();
  const { driver, folder } = await setUp(t, startChild);
  const nowhere = work({ action: "delete", gateway: { workspaceRoot: "/etc" } });
  await driver.unroster(nowhere);
  await driver.unsession(nowhere);
  await provision(driver, work({ agent: { generation: 2 } }));
  await driver.cleanUp(work({ action: "delete", agent: { generation: 3 } }));
  assert.equal(existsSync(folder), false);
  assert.equal(alive().length, 0);
});
