import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, lstat, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { packageRoot } from "../../src/package-root.ts";
import { writeWhole } from "../../src/whole-file.ts";
import { folder } from "../support/muster-process.ts";
import { seeded } from "../support/seeded.ts";

const MODULE = JSON.stringify(join(packageRoot, "src/whole-file.ts"));
const isRoot = process.getuid?.() === 0;

/** Runs code in a process of its own, in which `writeWhole` and `path` are known. */
function child(t: TestContext, path: string, code: string, limit = "") {
  const source = `import { writeWhole } from ${MODULE}; const path = ${JSON.stringify(path)}; ${code}`;
  const words = [
    process.execPath,
    "--import",
    import.meta.resolve("tsx"),
    "--input-type=module",
    "-e",
    source,
  ];
  const started = spawn("sh", ["-c", `${limit} exec "$@"`, "sh", ...words], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => started.kill("SIGKILL"));
  return started;
}

test("a file that is rewritten is whole, whenever its writer is killed", async (t) => {
  const random = seeded(t);
  const data = folder(t);
  const path = join(data, "credentials.json");
  await writeWhole(path, "start");
  for (let round = 0; round < 12; round++) {
    const writer = child(
      t,
      path,
      `for (let n = 0; ; n++) {
        await writeWhole(path, JSON.stringify({ first: n, filler: "x".repeat((n * 7919) % 200_000), last: n }));
        if (n === 3) console.log("writes");
      }`,
    );
    await once(createInterface({ input: writer.stdout }), "line");
    for (let turns = Math.floor(random() * 400); turns > 0; turns--) await new Promise(setImmediate);
    writer.kill("SIGKILL");
    await once(writer, "exit");
    const { first, last } = JSON.parse(await readFile(path, "utf8"));
    assert.equal(first, last);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  }
  await writeWhole(path, "end");
  assert.deepEqual(await readdir(data), ["credentials.json"]);
});

test("a file that is rewritten stays as it was when the disk is full", async (t) => {
  const path = join(folder(t), "token");
  await writeWhole(path, "the only one");
  // The same as a full disk: the write comes to a stop in the middle. Blocks have 512 bytes or 1 KiB.
  const writer = child(
    t,
    path,
    `await writeWhole(path, "x".repeat(100_000)).then(() => console.log("written"), (error) => console.log(error.code))`,
    "ulimit -f 16;",
  );
  const [said] = await once(createInterface({ input: writer.stdout }), "line");
  assert.equal(said, "EFBIG");
  assert.equal(await readFile(path, "utf8"), "the only one");
  if (writer.exitCode === null) await once(writer, "exit");
  await writeWhole(path, "another");
});

test("what is written is for its owner alone, whatever was there and whatever the umask says", async (t) => {
  const data = folder(t);
  const path = join(data, "secret.key");
  const umask = process.umask(0);
  try {
    await writeFile(path, "open to all", { mode: 0o666 });
    await writeWhole(path, "closed");
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  } finally {
    process.umask(umask);
  }
  // A link that somebody has put there is not written through.
  const target = join(data, "target");
  await writeFile(target, "theirs");
  const linked = join(data, "linked");
  await symlink(target, linked);
  await writeWhole(linked, "ours");
  assert.equal(await readFile(target, "utf8"), "theirs");
  assert.ok((await lstat(linked)).isFile());
});

test("root: a file stays its owner's", { skip: !isRoot }, async (t) => {
  const path = join(folder(t), "credentials.json");
  await writeFile(path, "theirs");
  await chown(path, 65_534, 65_534);
  await writeWhole(path, "theirs still");
  const { uid, gid, mode } = await stat(path);
  assert.deepEqual([uid, gid, mode & 0o777], [65_534, 65_534, 0o600]);
});

test("writes at the same time leave the last one, whole; of exclusive ones one is made", async (t) => {
  const data = folder(t);
  const path = join(data, "token");
  await Promise.all(Array.from({ length: 20 }, (_, n) => writeWhole(path, `${n}`.repeat(1_000))));
  assert.equal(await readFile(path, "utf8"), "19".repeat(1_000));
  const key = join(data, "key");
  const made = await Promise.allSettled(
    ["a", "b", "c"].map((text) => writeWhole(key, text, { exclusive: true })),
  );
  assert.equal(made.filter(({ status }) => status === "fulfilled").length, 1);
  for (const outcome of made) if (outcome.status === "rejected") assert.equal(outcome.reason.code, "EEXIST");
  assert.equal(await readFile(key, "utf8"), "a");
  assert.deepEqual((await readdir(data)).sort(), ["key", "token"]);
});

test("drafts that killed writers left are removed, those of living ones are not", async (t) => {
  const data = folder(t);
  const path = join(data, "token");
  const dead = spawn(process.execPath, ["--version"], { stdio: "ignore" });
  await once(dead, "exit");
  const living = process.ppid;
  const kept = [`token.${living}.new`, "token.old", "tokens.1.new"];
  for (const name of [...kept, `token.${dead.pid}.new`, `token.${process.pid}.new`])
    await writeFile(join(data, name), "half");
  // Looser than what is to be written, and not to be written into.
  await chmod(join(data, `token.${process.pid}.new`), 0o666);
  await writeWhole(path, "whole");
  assert.deepEqual((await readdir(data)).sort(), [...kept, "token"].sort());
  assert.equal((await stat(path)).mode & 0o777, 0o600);
});
