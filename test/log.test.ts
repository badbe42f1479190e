import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import { createLog } from "../src/log.ts";

/** A log that writes into `text`, to a terminal or not. */
function capture(isTTY: boolean, level = "info") {
  const written = { text: "" };
  const stream = new Writable({
    write(chunk, _encoding, done) {
      written.text += chunk;
      done();
    },
  });
  return { written, log: createLog(level, Object.assign(stream, { isTTY })) };
}

test("the log is JSON lines, and readable in a terminal", () => {
  const plain = capture(false);
  plain.log.info({ agent: "a1" }, "hello");
  const line = JSON.parse(plain.written.text);
  assert.deepEqual([line.agent, line.msg, line.level], ["a1", "hello", 30]);
  const terminal = capture(true);
  terminal.log.info({ agent: "a1" }, "hello");
  assert.match(terminal.written.text, /INFO.*hello/);
  assert.throws(() => JSON.parse(terminal.written.text));
});

test("what is below the level is left out", () => {
  const { written, log } = capture(false, "warn");
  log.info("quiet");
  log.warn("loud");
  assert.doesNotMatch(written.text, /quiet/);
  assert.match(written.text, /loud/);
});

test("tokens and frames are left out wherever they stand", () => {
  for (const isTTY of [false, true]) {
    const { written, log } = capture(isTTY);
    const secret = "hush-hush";
    log.info({ token: secret, authorization: secret, frame: secret, params: { deep: secret } });
    log.info({ config: { secretKey: secret, databaseUrl: secret }, headers: { "x-agent-token": secret } });
    log.info({ request: { params: { token: secret }, body: secret, headers: { authorization: secret } } });
    log.child({ token: secret }).info("from a child");
    log.error({ err: Object.assign(new Error("failed"), { token: secret }) });
    assert.doesNotMatch(written.text, /hush/);
    assert.match(written.text, /failed/);
  }
});
