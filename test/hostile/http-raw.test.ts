import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { json } from "../../src/edge/http-answer.ts";
import type { Route } from "../../src/edge/router.ts";
import { uwsFlavor } from "../../src/edge/uws.ts";
import { until } from "../support/await.ts";
import { start } from "../support/dial.ts";
import { hasAnswer, lines, rawHttp } from "../support/raw-http.ts";

/**
 * Milliseconds after which a request that cannot be read, or never ends, has been closed: the libraries look at their
 * clocks every four seconds, and the newer one leaves what it takes for the beginning of a line for half a minute.
 */
const CLOSED_BY = uwsFlavor.package.includes("btc-vision") ? 36_000 : 13_000;

/** A listener that counts what it has carried out. */
async function startCounting(t: TestContext) {
  const done: string[] = [];
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const routes: Route[] = [
    {
      method: "get",
      path: "/page",
      handler() {
        done.push("page");
        return { status: 200, headers: { "content-type": "text/plain" }, body: "the page" };
      },
    },
    {
      method: "get",
      path: "/away",
      handler: () => {
        throw new Error("a bug");
      },
    },
    {
      method: "post",
      path: "/act",
      bodyBytes: 1_000,
      async handler({ body }) {
        const bytes = await body();
        done.push(Buffer.from(bytes).toString());
        return json({ bytes: bytes.length });
      },
    },
    { method: "post", path: "/hasty", handler: () => json({}) },
    {
      method: "post",
      path: "/slow",
      async handler() {
        done.push("slow");
        await held;
        return json({});
      },
    },
  ];
  const listener = await start(t, { routes });
  t.after(() => release());
  const { port } = listener;
  const host = `Host: 127.0.0.1:${port}`;
  const ask = (first: string, ...head: string[]) =>
    rawHttp(port, lines(first, host, ...head), first.startsWith("HEAD ") ? hasHead : hasAnswer);
  return { port, host, ask, done, release };
}

const hasHead = (text: string) => text.includes("\r\n\r\n");
const CHUNKED = "Transfer-Encoding: chunked";

test("a body whose length is said in two ways, or in none that is known, is an error, and nothing is done", async (t) => {
  const { port, host, done } = await startCounting(t);
  const chunks = "3\r\nabc\r\n0\r\n\r\n";
  const behind = lines("GET /page HTTP/1.1", host);
  const cases: [head: string[], body: string][] = [
    [["Content-Length: 3", CHUNKED], chunks],
    [[CHUNKED, "Content-Length: 3"], chunks],
    [["Transfer-Encoding: gzip, chunked"], chunks],
    [["Transfer-Encoding: gzip"], chunks],
    [["Transfer-Encoding: identity"], ""],
    [["Transfer-Encoding: xchunked"], chunks],
    [["Transfer-Encoding: chunked, chunked"], chunks],
    [[CHUNKED, "Transfer-Encoding: gzip"], chunks],
    [["Transfer-Encoding:"], chunks],
    [["Content-Length: 3", "Content-Length: 5"], "abcde"],
    [["Content-Length: 3", "content-length: 3"], "abc"],
    [["Content-Length: 3, 3"], "abc"],
    [["Content-Length: -1"], "abc"],
    [["Content-Length: +3"], "abc"],
    [["Content-Length: 0x3"], "abc"],
    [["Content-Length: 3 3"], "abc"],
    [["Content-Length:"], "abc"],
    [["Content-Length: 99999999999999999999"], "abc"],
  ];
  for (const [head, body] of cases) {
    const about = head.join();
    const request = lines("POST /act HTTP/1.1", host, ...head) + body + behind;
    const answer = await rawHttp(port, request);
    assert.ok(answer.isClosed, about);
    assert.ok(answer.ms < 2_000, `${about} took ${answer.ms} ms`);
    // One library closes without a word what it cannot follow.
    assert.ok(answer.statuses.length <= 1, `${about}: ${answer.text}`);
    for (const status of answer.statuses) assert.ok([400, 501].includes(status), `${about}: ${status}`);
  }
  assert.deepEqual(done, []);
});

test("of headers that mean the caller or the page there is one, or the request is refused", async (t) => {
  const { ask, done } = await startCounting(t);
  for (const name of ["Authorization", "X-Agent-Token", "Origin"]) {
    const answer = await ask("GET /page HTTP/1.1", `${name}: a`, `${name}: a`);
    assert.deepEqual(answer.statuses, [400], name);
    assert.match(answer.text, /more than once/);
  }
  assert.deepEqual(done, []);
});

test("what is no HTTP/1.1 is answered with an error or closed in time, and nothing is done", async (t) => {
  const { port, host, done } = await startCounting(t);
  const cases: Record<string, string> = {
    "HTTP/1.0": lines("GET /page HTTP/1.0", host),
    "HTTP/1.0 kept alive": lines("GET /page HTTP/1.0", host, "Connection: keep-alive"),
    "HTTP/1.0 with a body": `${lines("POST /act HTTP/1.0", host, "Content-Length: 3")}abc`,
    "HTTP/1.0 to a socket": lines(
      "GET /v1/socket HTTP/1.0",
      host,
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "HTTP/0.9": "GET /page\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": lines("GET /page HTTP/1.1"),
    "a folded header": lines("GET /page HTTP/1.1", host, "X: a", " b"),
    "bare line feeds": `GET /page HTTP/1.1\n${host}\n\n`,
    "a bare line feed": lines("GET /page HTTP/1.1", host, "X: a\nY: b"),
    "a bare carriage return": lines("GET /page HTTP/1.1", host, "X: a\rY: b"),
    "a NUL": lines("GET /page HTTP/1.1", host, "X: a\u0000b"),
    "no colon": lines("GET /page HTTP/1.1", host, "nonsense"),
    "a space before the colon": `${lines("POST /act HTTP/1.1", host, "Content-Length : 3")}abc`,
    TLS: "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003",
    "headers without end": `GET /page HTTP/1.1\r\n${host}\r\n${"X: y\r\n".repeat(50_000)}`,
    "one endless header": `GET /page HTTP/1.1\r\n${host}\r\nX: ${"y".repeat(300_000)}`,
    "an unfinished request": `GET /page HTTP/1.1\r\n${host}\r\n`,
    "a body that ends early": `${lines("POST /act HTTP/1.1", host, "Content-Length: 30")}abc`,
    "chunks that are none": `${lines("POST /act HTTP/1.1", host, CHUNKED)}zz\r\nabc\r\n0\r\n\r\n`,
    "a chunk beyond counting": `${lines("POST /act HTTP/1.1", host, CHUNKED)}fffffffffffffffff\r\nabc`,
  };
  await Promise.all(
    Object.entries(cases).map(async ([about, bytes]) => {
      const answer = await rawHttp(port, bytes);
      assert.ok(answer.isClosed && answer.ms < CLOSED_BY, `${about} was open for ${answer.ms} ms`);
      for (const status of answer.statuses) assert.ok(status >= 400, `${about}: ${status}`);
    }),
  );
  assert.deepEqual(done, []);
});

test("a request behind an unfinished one is not carried out, and the first is carried out once", async (t) => {
  const { port, host, ask, done, release } = await startCounting(t);
  const slow = `${lines("POST /slow HTTP/1.1", host, "Content-Length: 2")}{}`;
  const act = `${lines("POST /act HTTP/1.1", host, "Content-Length: 3")}abc`;
  const isWorkedOn = until(() => done.length === 3, { what: "all three to be worked on" });
  const answers = [
    rawHttp(port, slow + act),
    rawHttp(port, slow + slow),
    rawHttp(
      port,
      slow,
      () => false,
      isWorkedOn.then(() => act),
    ),
  ];
  await isWorkedOn;
  // What was sent before this is there once this is answered.
  for (let round = 0; round < 3; round++) await ask("GET /nowhere HTTP/1.1");
  release();
  for (const answer of await Promise.all(answers)) {
    assert.ok(answer.isClosed, answer.text);
    assert.ok(answer.statuses.length <= 2 && !answer.statuses.slice(1).includes(200), answer.text);
  }
  assert.deepEqual(done, ["slow", "slow", "slow"]);
});

test("HEAD is answered as GET is, without the body, on every route", async (t) => {
  const { ask, done } = await startCounting(t);
  for (const path of ["/page", "/nowhere", "/act", "/away", "/v1/socket"]) {
    const [get, head] = [await ask(`GET ${path} HTTP/1.1`), await ask(`HEAD ${path} HTTP/1.1`)];
    assert.equal(bodyOf(head.text), "", path);
    const body = bodyOf(get.text);
    // What is wrong names the method.
    if (path !== "/act") assert.equal(headersOf(head.text)["content-length"], String(body.length), path);
    const same = (text: string) => {
      const { date, "x-request-id": id, "content-length": length, ...rest } = headersOf(text);
      return rest;
    };
    assert.equal(head.statuses[0], get.statuses[0], path);
    assert.deepEqual(same(head.text), same(get.text), path);
  }
  assert.deepEqual(done, ["page", "page"]);
});

test("after the answer to HEAD the connection serves the next request", async (t) => {
  const { port, host } = await startCounting(t);
  const { text } = await rawHttp(
    port,
    lines("HEAD /page HTTP/1.1", host) + lines("GET /nowhere HTTP/1.1", host),
    (so_far) => /there is nothing|HTTP\/1\.1 400/.test(so_far),
  );
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n(?:[^\r\n]+\r\n)+\r\nHTTP\/1\.1 4/);
});

test("a HEAD whose form is wrong ends the connection like any other", async (t) => {
  const { port, host, done } = await startCounting(t);
  const answer = await rawHttp(port, lines("HEAD /page HTTP/1.1", host, "Content-Length: 0", CHUNKED));
  assert.ok(answer.isClosed && answer.ms < 2_000);
  const twice = await rawHttp(port, lines("HEAD /page HTTP/1.1", host, "Origin: a", "Origin: a"));
  assert.deepEqual([twice.isClosed, twice.statuses, bodyOf(twice.text)], [true, [400], ""]);
  assert.deepEqual(done, []);
});

test("connections on which nothing more comes are closed in time", async (t) => {
  const { port, host } = await startCounting(t);
  await Promise.all(
    [
      lines("GET /page HTTP/1.1", host),
      lines("HEAD /page HTTP/1.1", host),
      `${lines("POST /act HTTP/1.1", host, "Content-Length: 3")}abc`,
      `${lines("POST /hasty HTTP/1.1", host, "Content-Length: 3")}abc`,
      `${lines("POST /hasty HTTP/1.1", host, "Content-Length: 3")}a`,
      `${lines("POST /nowhere HTTP/1.1", host, "Content-Length: 3")}abc`,
    ].map(async (request) => {
      const answer = await rawHttp(port, request);
      assert.equal(answer.statuses.length, 1, request);
      assert.ok(answer.isClosed && answer.ms < CLOSED_BY, `${request}: open for ${answer.ms} ms`);
    }),
  );
});

test("GET of the socket's path without an upgrade says what is spoken there", async (t) => {
  const { ask } = await startCounting(t);
  const wanted = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
  const plain = await ask("GET /v1/socket HTTP/1.1");
  assert.equal(plain.statuses[0], 426);
  assert.equal(headersOf(plain.text).upgrade, "websocket");
  assert.equal(
    (await ask("GET /v1/socket HTTP/1.1", "Upgrade: h2c", "Connection: Upgrade")).statuses[0],
    426,
  );
  assert.equal((await ask("POST /v1/socket HTTP/1.1", "Content-Length: 0")).statuses[0], 405);
  for (const version of ["8", "14", "x"]) {
    const old = await ask("GET /v1/socket HTTP/1.1", ...wanted, `Sec-WebSocket-Version: ${version}`);
    assert.equal(old.statuses[0], 426, version);
    assert.equal(headersOf(old.text)["sec-websocket-version"], "13");
  }
  const head = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"];
  for (const key of ["X-Key: none", "Sec-WebSocket-Key: abc", `Sec-WebSocket-Key: ${"!".repeat(24)}`])
    assert.equal((await ask("GET /v1/socket HTTP/1.1", ...head, key)).statuses[0], 400, key);
  const withBody = await ask(
    "GET /v1/socket HTTP/1.1",
    ...wanted,
    "Sec-WebSocket-Version: 13",
    "Content-Length: 3",
  );
  assert.equal(withBody.statuses[0], 400);
  assert.equal(
    (await ask("GET /v1/socket HTTP/1.1", ...wanted, "Sec-WebSocket-Version: 13")).statuses[0],
    101,
  );
});

test("a wish for another protocol than ours is passed over", async (t) => {
  const { ask, port, host, done } = await startCounting(t);
  const wish = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"];
  assert.equal((await ask("GET /page HTTP/1.1", ...wish)).statuses[0], 200);
  const request = `${lines("POST /act HTTP/1.1", host, ...wish, "Content-Length: 3")}abc`;
  assert.equal((await rawHttp(port, request, hasAnswer)).statuses[0], 200);
  assert.equal(
    (await ask("GET /page HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket")).statuses[0],
    200,
  );
  assert.deepEqual(done, ["page", "abc", "page"]);
});

test("every answer names its request: by the caller's name for it, or by one of our own", async (t) => {
  const { ask } = await startCounting(t);
  const paths = ["/page", "/nowhere", "/act", "/away", "/v1/socket"];
  const named = async (path: string, ...head: string[]) => {
    const { text } = await ask(`GET ${path} HTTP/1.1`, ...head);
    const id = headersOf(text)["x-request-id"] ?? "";
    if (path !== "/page") assert.equal(JSON.parse(bodyOf(text)).request_id, id, path);
    return id;
  };
  const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
  for (const path of paths) {
    for (const id of ["a", "x.Y_9-z", "q".repeat(128)])
      assert.equal(await named(path, `X-Request-Id: ${id}`), id);
    for (const id of ["", "q".repeat(129), "a b", "a/b", "ä", "a,b", '"'])
      assert.match(await named(path, `X-Request-Id: ${id}`), UUID, id);
    assert.match(await named(path, "X-Request-Id: a", "X-Request-Id: a"), UUID);
    assert.match(await named(path), UUID);
    assert.match(await named(path, "Sec-Fetch-Site: none", "X-Foreign: 1"), UUID);
  }
  assert.equal(await named("/nowhere", "Origin: http://evil.example", "X-Request-Id: mine"), "mine");
});

function headersOf(text: string): Record<string, string> {
  const head = text.slice(0, text.indexOf("\r\n\r\n")).split("\r\n").slice(1);
  return Object.fromEntries(
    head.map((line) => [
      line.slice(0, line.indexOf(":")).toLowerCase(),
      line.slice(line.indexOf(":") + 1).trim(),
    ]),
  );
}

function bodyOf(text: string): string {
  return text.slice(text.indexOf("\r\n\r\n") + 4);
}
