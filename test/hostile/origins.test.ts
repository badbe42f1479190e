import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError, readConfig } from "../../src/config.ts";
import { Origin } from "../../src/origin.ts";
import { dial, open, origins, refused, start } from "../support/dial.ts";
import { run } from "../support/muster-process.ts";
import { seeded } from "../support/seeded.ts";

test("an origin is scheme, host and port, each in its one form, and nothing else is one", () => {
  const same: [string, string][] = [
    ["https://dash.example.com", "https://dash.example.com"],
    ["HTTPS://Dash.Example.COM:443", "https://dash.example.com"],
    ["http://dash.example.com:80", "http://dash.example.com"],
    ["wss://dash.example.com:443", "wss://dash.example.com"],
    ["http://dash.example.com:8080", "http://dash.example.com:8080"],
    ["https://münchen.example", "https://xn--mnchen-3ya.example"],
    ["http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"],
    ["tauri://localhost", "tauri://localhost"],
    ["capacitor://localhost", "capacitor://localhost"],
    [
      "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
      "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    ],
    ["app://.", "app://."],
  ];
  for (const [given, text] of same) assert.equal(Origin.parse(given)?.toString(), text, given);
  for (const text of [
    "",
    "null",
    "*",
    "https://",
    "https:dash.example.com",
    "https:///dash.example.com",
    "dash.example.com",
    "//dash.example.com",
    "https://*.example.com",
    "https://dash.example.com/",
    "https://dash.example.com/path",
    "https://dash.example.com?q",
    "https://dash.example.com#f",
    "https://user@dash.example.com",
    "https://user:word@dash.example.com",
    "https://dash.example.com:",
    "https://dash.example.com:0",
    "https://dash.example.com:65536",
    "https://dash.example.com:+80",
    "https://dash example.com",
    "https://dash.example.com\\@evil.example",
    "https://dash..example.com",
    "https://%64ash.example.com",
    "https://[::1",
    "https://[::1%25eth0]",
    "https://::1",
    "https://127.1",
    "https://0x7f.0.0.1",
    "https://2130706433",
    "https://127.0.0.1.",
    "file://",
    "file:///home",
    "data://x",
    "https://xn--a",
    " https://dash.example.com",
    "https://dash.example.com, https://evil.example",
    `https://${"a".repeat(64)}.example`,
  ])
    assert.equal(Origin.parse(text), undefined, text);
});

test("a page without an origin is never allowed, whatever the list holds", async (t) => {
  const shells = [
    "tauri://localhost",
    "capacitor://localhost",
    "chrome-extension://abcdefghijklmnop",
    "app://.",
  ];
  const listener = await start(t, { allowedOrigins: origins(...shells, "https://dash.example.com") });
  for (const origin of [...shells, "https://dash.example.com:443", "TAURI://localhost"])
    await open(t, listener, { headers: { origin } });
  for (const origin of [
    "null",
    "NULL",
    " ",
    "tauri://other",
    "tauri://localhost.evil.example",
    "https://localhost",
    "http://dash.example.com",
    "https://dash.example.com/",
    "file://",
    "data:text/html,x",
  ]) {
    const { status, body } = await refused(dial(t, listener, { headers: { origin } }));
    assert.equal(status, 403, origin);
    assert.match(JSON.parse(body).detail, /origin/, origin);
  }
});

test("seeded: what is near an allowed origin is not that origin", async (t) => {
  const random = seeded(t);
  const below = (most: number) => Math.floor(random() * most);
  const allowed = "https://dash.example.com:8443";
  const alphabet = [..."abz019./:@?#%*[]\\ \u0000\tÄ。"];
  const origin = Origin.parse(allowed);
  assert.ok(origin);
  for (let round = 0; round < 20_000; round++) {
    const at = below(allowed.length + 1);
    const letter = alphabet[below(alphabet.length)] ?? "";
    const text = allowed.slice(0, at) + letter + allowed.slice(at + below(2));
    const isSame = text.toLowerCase() === allowed;
    assert.equal(origin.is(Origin.parse(text)), isSame, JSON.stringify(text));
  }
});

test("the public URL's own origin is allowed, also when a proxy hands on another host", async (t) => {
  const [publicOrigin] = origins("https://muster.example.com");
  const listener = await start(t, { publicOrigin });
  for (const host of ["muster.example.com", "muster.example.com:443", "127.0.0.1", "backend.internal:8787"])
    await open(t, listener, { headers: { origin: "https://muster.example.com", host } });
  for (const origin of [
    "http://muster.example.com",
    "https://muster.example.com:8443",
    "https://backend.internal",
  ]) {
    const { status } = await refused(dial(t, listener, { headers: { origin, host: "backend.internal" } }));
    assert.equal(status, 403, origin);
  }
});

test("a list that holds what can match nothing stops the start, and says what would be right", async (t) => {
  const cases: [name: string, value: string, right: RegExp][] = [
    ["MUSTER_ALLOWED_ORIGINS", "null", /name origins/],
    ["MUSTER_ALLOWED_ORIGINS", "*", /no wildcards/],
    ["MUSTER_ALLOWED_ORIGINS", "https://*.example.com", /no wildcards/],
    ["MUSTER_ALLOWED_ORIGINS", "https://dash.example.com/app", /like https:\/\/dash\.example\.com$/],
    ["MUSTER_ALLOWED_ORIGINS", "https://dash.example.com?q=1", /like https:\/\/dash\.example\.com$/],
    ["MUSTER_ALLOWED_ORIGINS", "https://me:word@dash.example.com", /like https:\/\/dash\.example\.com$/],
    ["MUSTER_ALLOWED_ORIGINS", "dash.example.com", /like https:\/\/dash\.example\.com$/],
    ["MUSTER_ALLOWED_ORIGINS", "localhost:3000", /like https:\/\/localhost:3000$/],
    ["MUSTER_ALLOWED_ORIGINS", "file:///home/me/page.html", /pages under file:/],
    ["MUSTER_ALLOWED_ORIGINS", "https://good.example,https://127.1", /127\.1 is no origin/],
    ["MUSTER_ALLOWED_HOSTS", "https://muster.example.com", /like muster\.example\.com$/],
    ["MUSTER_ALLOWED_HOSTS", "*", /no wildcards/],
    ["MUSTER_ALLOWED_HOSTS", "*.example.com", /no wildcards/],
    ["MUSTER_ALLOWED_HOSTS", "muster.example.com:0", /is no host/],
    ["MUSTER_ALLOWED_HOSTS", "muster.example.com/path", /like muster\.example\.com$/],
    ["MUSTER_ALLOWED_HOSTS", "fe80::1", /is no host/],
    ["MUSTER_PUBLIC_URL", "https:muster.example.com", /http or https URL/],
    ["MUSTER_PUBLIC_URL", "https://me:word@muster.example.com", /http or https URL/],
    ["MUSTER_PUBLIC_URL", "https://muster.example.com?x", /http or https URL/],
    ["MUSTER_PUBLIC_URL", "ftp://muster.example.com", /http or https URL/],
    ["MUSTER_PUBLIC_URL", "muster.example.com", /http or https URL/],
  ];
  for (const [name, value, right] of cases)
    assert.throws(
      () => readConfig({ [name]: value }),
      (error: Error) => {
        assert.ok(error instanceof ConfigError);
        assert.ok(error.message.startsWith(`${name}: `), error.message);
        assert.match(error.message, right);
        return true;
      },
      `${name}=${value}`,
    );
  const { code, err } = await run(t, ["serve"], { MUSTER_ALLOWED_ORIGINS: "null" });
  assert.equal(code, 2);
  assert.match(err, /MUSTER_ALLOWED_ORIGINS/);
});

test("lists are read with their spaces and slashes, and the public URL with its path", () => {
  const config = readConfig({
    MUSTER_ALLOWED_ORIGINS: " https://dash.example.com/ ,tauri://localhost,, app://. ",
    MUSTER_ALLOWED_HOSTS: " Muster.example.com , [::1]:8080,192.0.2.7",
    MUSTER_PUBLIC_URL: "https://example.com/muster//",
  });
  assert.deepEqual(config.allowedOrigins.map(String), [
    "https://dash.example.com",
    "tauri://localhost",
    "app://.",
  ]);
  assert.deepEqual(config.allowedHosts, [
    { host: "muster.example.com", port: undefined },
    { host: "[::1]", port: 8080 },
    { host: "192.0.2.7", port: undefined },
  ]);
  assert.equal(config.publicUrl?.href, "https://example.com/muster");
  assert.equal(String(config.publicUrl?.origin), "https://example.com");
});
