import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readConfig } from "../../src/config.ts";
import { wholeNumber } from "../../src/whole-number.ts";
import { folder, run } from "../support/muster-process.ts";

test("only digits are a whole number", () => {
  for (const [text, number] of [
    ["0", 0],
    ["007", 7],
    ["9007199254740991", 9_007_199_254_740_991],
  ] as const)
    assert.equal(wholeNumber(text), number);
  for (const text of [
    undefined,
    "",
    " ",
    "1 ",
    "-1",
    "+1",
    "1.0",
    "1e3",
    "0x10",
    "NaN",
    "Infinity",
    "٣",
    "9007199254740992",
    "1".repeat(400),
  ])
    assert.equal(wholeNumber(text), undefined, text);
});

test("a setting that is no number is named, and none counts as 0", () => {
  for (const text of [" ", "0x1", "1e3", "-0", "8080.0", "٣", "Infinity", "99999999999999999999"])
    for (const name of ["PORT", "MUSTER_METRICS_PORT", "MUSTER_LOCAL_AGENTS", "MUSTER_HISTORY_CHANGES"])
      assert.throws(
        () => readConfig({ [name]: text }),
        new RegExp(`^ConfigError: ${name}: must be a whole number`),
        `${name}=${text}`,
      );
  for (const text of ["10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/0x8", "10.0.0.0/1e1", "10.0.0.0/33"])
    assert.throws(
      () => readConfig({ MUSTER_TRUSTED_PROXIES: text }),
      /^ConfigError: MUSTER_TRUSTED_PROXIES: /,
      text,
    );
});

test("a kept token is not sent because two addresses are unreadable in the same way", async (t) => {
  const dataDir = folder(t);
  // Neither has a host where addresses of another scheme have theirs.
  for (const [kept, given] of [
    ["localhost:8787", "evil.example:8787"],
    ["muster:", "file:///etc"],
    ["mailto:a", "data:text"],
  ] as const) {
    writeFileSync(join(dataDir, "credentials.json"), JSON.stringify({ url: kept, token: "mst_user_kept" }));
    const { code, err } = await run(t, ["call", "--url", given, "organization.get"], {
      MUSTER_DATA_DIR: dataDir,
    });
    assert.equal(code, 1);
    assert.match(err, /no token for/, `${kept} and ${given}`);
  }
});
