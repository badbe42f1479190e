import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { parseAuthority } from "../../src/authority.ts";
import type { ListenOptions } from "../../src/edge/listener.ts";
import { dial, open, origins, refused, start } from "../support/dial.ts";
import { freePort } from "../support/free-port.ts";
import { hasAnswer, lines, rawHttp } from "../support/raw-http.ts";
import { seeded } from "../support/seeded.ts";
import { startTestServer } from "../support/server.ts";

const page: ListenOptions["routes"][number] = {
  method: "get",
  path: "/page",
  handler: () => ({ status: 200, body: "ours" }),
};

const BROWSER: Record<string, string>[] = [
  { origin: "http://evil.example" },
  { "sec-fetch-site": "same-origin" },
  { "sec-fetch-site": "none" },
];

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

async function statusOf(port: number, host: string, headers: Record<string, string>, path = "/page") {
  const all = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const { statuses } = await rawHttp(port, lines(`GET ${path} HTTP/1.1`, `Host: ${host}`, ...all), hasAnswer);
  return statuses[0];
}

test("a browser is served at our own names only, on every route", async (t) => {
  const { port } = await start(t, {
    routes: [page],
    allowedHosts: [
      parseAuthority("nas.lan"),
      parseAuthority("box.lan:9000"),
      parseAuthority("tls.lan:443"),
    ].flatMap((host) => host ?? []),
    publicOrigin: origins("https://muster.example.com")[0],
  });
  const ours = [
    "localhost",
    "LOCALHOST:1234",
    "localhost.",
    "dash.localhost",
    "127.0.0.1",
    `127.0.0.1:${port}`,
    "127.5.6.7",
    "muster.example.com",
    "muster.example.com:8443",
    "muster.example.com.",
    "nas.lan:80",
    "box.lan:9000",
    "tls.lan",
  ];
  const foreign = [
    "evil.example",
    `evil.example:${port}`,
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "muster.example.com.evil.example",
    "notlocalhost",
    "box.lan",
    "box.lan:9001",
    "192.0.2.1",
    "[::1]",
    "10.0.0.1",
    "2130706433",
    "localhost@evil.example",
    "localhost/evil",
    "localhost, evil.example",
    "evil.example#localhost",
    "",
  ];
  for (const headers of BROWSER) {
    for (const host of ours)
      assert.equal(await statusOf(port, host, headers), 200, `${host} ${JSON.stringify(headers)}`);
    for (const host of foreign)
      for (const path of ["/page", "/nowhere", "/v1/socket"])
        assert.equal(
          await statusOf(port, host, headers, path),
          403,
          `${host} ${path} ${JSON.stringify(headers)}`,
        );
  }
});

test("probes and programs are not asked for their host", async (t) => {
  const { port } = await start(t, { routes: [page] });
  for (const host of ["evil.example", "10.1.2.3:8787", "pod-7"])
    assert.equal(await statusOf(port, host, {}), 200, host);
});

test("a page that has its name lead here gets no socket, though it is of the host's own origin", async (t) => {
  const listener = await start(t, { allowedOrigins: origins("https://dash.example.com") });
  const host = `evil.example:${listener.port}`;
  for (const origin of [`http://${host}`, "https://dash.example.com", "null"]) {
    const { status, body } = await refused(dial(t, listener, { headers: { host, origin } }));
    assert.equal(status, 403);
    assert.match(JSON.parse(body).detail, /MUSTER_ALLOWED_HOSTS/);
  }
  await open(t, listener, { headers: { host } });
  await open(t, listener, { headers: { origin: "https://dash.example.com" } });
});

test("listening everywhere, the addresses of this machine are ours, and no others", async (t) => {
  const { port } = await start(t, { routes: [page], host: "0.0.0.0" });
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const local = addresses.map(({ address, family }) => (family === "IPv6" ? `[${address}]` : address));
  const browser = { "sec-fetch-site": "none" };
  for (const host of [...local, "0.0.0.0", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]"])
    assert.equal(await statusOf(port, host, browser), 200, host);
  for (const host of ["192.0.2.1", "[2001:db8::1]", "evil.example", "[::ffff:192.0.2.1]"])
    assert.equal(await statusOf(port, host, browser), 403, host);
});

test("seeded: whatever stands in the headers of a browser, it is served or refused, and the next one too", async (t) => {
  const { port } = await start(t, { routes: [page], allowedOrigins: origins("https://dash.example.com") });
  const random = seeded(t);
  const below = (most: number) => Math.floor(random() * most);
  const pieces = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    "[",
    "]",
    ":",
    "::",
    "evil.example",
    "https://",
    "//",
    "@",
    "%",
    "null",
  ];
  const text = () =>
    Array.from({ length: below(5) }, () =>
      below(3) > 0 ? pieces[below(pieces.length)] : String.fromCharCode(33 + below(223)),
    ).join("");
  for (let round = 0; round < 400; round++) {
    const [host, origin] = [text(), text()];
    const path = round % 2 === 0 ? "/page" : "/v1/socket";
    const upgrade = { upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": KEY };
    const status = await statusOf(port, host, { origin, ...(path === "/page" ? {} : upgrade) }, path);
    assert.ok(
      [101, 200, 400, 403, undefined].includes(status),
      `${status} ${JSON.stringify([host, origin])}`,
    );
    if (status === 101) assert.match(origin, /^https?:\/\/(?:localhost|127\.|\[::1\])/i, host);
  }
  assert.equal(await statusOf(port, "localhost", {}), 200);
});

test("the port for metrics has the same hosts", async (t) => {
  const port = await freePort();
  await startTestServer(t, {
    environment: { MUSTER_METRICS_PORT: String(port), MUSTER_ALLOWED_HOSTS: "nas.lan" },
  });
  for (const path of ["/metrics", "/healthz", "/nowhere"]) {
    for (const headers of BROWSER)
      assert.equal(
        await statusOf(port, "evil.example", headers, path),
        403,
        `${path} ${JSON.stringify(headers)}`,
      );
    const served = await statusOf(port, "evil.example", {}, path);
    for (const host of ["nas.lan", "localhost", `127.0.0.1:${port}`])
      assert.equal(await statusOf(port, host, { "sec-fetch-site": "none" }, path), served, host);
  }
});

test("a host in several lines, or in none, is refused with what to do", async (t) => {
  const { port } = await start(t, { routes: [page] });
  const host = `Host: 127.0.0.1:${port}`;
  for (const head of [
    ["GET /page HTTP/1.1", host, "Host: evil.example"],
    ["GET /page HTTP/1.1", "Host: evil.example", host, "Origin: http://evil.example"],
    ["GET /page HTTP/1.1", host, "Origin: http://127.0.0.1", "Origin: http://evil.example"],
  ]) {
    const { statuses, isClosed } = await rawHttp(port, lines(...head));
    assert.deepEqual([statuses, isClosed], [[400], true], head.join());
  }
});
