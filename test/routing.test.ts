import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { pino } from "pino";
import { json } from "../src/edge/http-answer.ts";
import type { Listener } from "../src/edge/listener.ts";
import type { Route } from "../src/edge/router.ts";
import { MusterError } from "../src/protocol/errors.ts";

import { start } from "./support/dial.ts";

const routes: Route[] = [
  {
    method: "get",
    path: "/plain",
    handler: () => ({ status: 200, headers: { "content-type": "text/plain" }, body: "ok" }),
  },
  {
    method: "post",
    path: "/echo",
    bodyBytes: 500,
    async handler({ query, headers, body, remoteAddress }) {
      const bytes = await body();
      const agentToken = headers("X-Agent-Token");
      return json({ q: query.get("q"), agentToken, body: Buffer.from(bytes).toString(), remoteAddress }, 201);
    },
  },
  {
    method: "get",
    path: "/conflict",
    handler: async () => {
      throw new MusterError("conflict", "that name is taken");
    },
  },
  {
    method: "get",
    path: "/bug",
    handler: () => {
      throw new Error("secret internals");
    },
  },
];

async function call(listener: Listener, path: string, init?: RequestInit) {
  const response = await fetch(`http://127.0.0.1:${listener.port}${path}`, init);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

test("a route gets query, headers, body and address, and its answer is sent with safe headers", async (t) => {
  const listener = await start(t, { routes });
  const answer = await call(listener, "/echo?q=a%20b", {
    method: "POST",
    headers: { "x-agent-token": "abc" },
    body: "é".repeat(200),
  });
  assert.equal(answer.status, 201);
  assert.deepEqual(JSON.parse(answer.text), {
    q: "a b",
    agentToken: "abc",
    body: "é".repeat(200),
    remoteAddress: "127.0.0.1",
  });
  assert.equal(answer.headers.get("content-type"), "application/json");
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  assert.equal(answer.headers.get("cache-control"), "no-store");
  const plain = await call(listener, "/plain");
  assert.deepEqual([plain.status, plain.headers.get("content-type"), plain.text], [200, "text/plain", "ok"]);
  assert.equal(JSON.parse((await call(listener, "/echo", { method: "POST" })).text).body, "");
});

test("unknown paths are 404, wrong methods 405, large bodies 413, errors their status", async (t) => {
  const listener = await start(t, { routes });
  const cases: [string, RequestInit, number, RegExp][] = [
    ["/none", {}, 404, /nothing at "\/none"/],
    ["/v1/socket", {}, 426, /WebSockets connect/],
    ["/v1/socket", { method: "POST" }, 405, /GET/],
    ["/echo", {}, 405, /POST/],
    ["/echo", { method: "POST", body: "x".repeat(501) }, 413, /at most 500 bytes/],
    ["/echo", { method: "POST", body: "x".repeat(300_000) }, 413, /at most 500 bytes/],
    ["/conflict", {}, 409, /that name is taken/],
  ];
  for (const [path, init, status, detail] of cases) {
    const answer = await call(listener, path, init);
    assert.equal(answer.status, status, path);
    assert.match(JSON.parse(answer.text).detail, detail);
  }
  assert.equal((await call(listener, "/echo")).headers.get("allow"), "POST");
  assert.equal((await call(listener, "/plain")).status, 200);
});

test("what a route did not mean to throw answers 500 with a reference that the log has", async (t) => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => lines.push(line) });
  const listener = await start(t, { routes, log });
  const { status, text } = await call(listener, "/bug");
  assert.equal(status, 500);
  const ref = /^internal error, see the log under (\S+)$/.exec(JSON.parse(text).detail)?.[1];
  assert.ok(ref);
  assert.doesNotMatch(text, /secret internals/);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", new RegExp(ref));
  assert.match(lines[0] ?? "", /secret internals/);
});

test("a client that goes away while its request is worked on harms nobody", async (t) => {
  let arrived = () => {};
  const hasArrived = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  let bodyFailed: Promise<unknown> = Promise.resolve();
  const listener = await start(t, {
    routes: [
      ...routes,
      {
        method: "post",
        path: "/slow",
        bodyBytes: 100,
        async handler({ body }) {
          arrived();
          const read = body();
          bodyFailed = read.catch((error: unknown) => error);
          await read;
          return json({});
        },
      },
    ],
  });
  const raw = connect(listener.port, "127.0.0.1");
  raw.write("POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\nhalf");
  await hasArrived;
  raw.destroy();
  assert.match(String(await bodyFailed), /went away/);
  assert.equal((await call(listener, "/plain")).status, 200);
});

test("a body that comes in pieces is put together", async (t) => {
  let arrived = () => {};
  const hasArrived = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const listener = await start(t, {
    routes: [
      {
        method: "post",
        path: "/pieces",
        bodyBytes: 1_000,
        async handler({ body }) {
          arrived();
          return { status: 200, body: await body() };
        },
      },
    ],
  });
  const raw = connect(listener.port, "127.0.0.1");
  t.after(() => raw.destroy());
  raw.write("POST /pieces HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nfirst");
  await hasArrived;
  raw.write("other");
  let text = "";
  while (!text.includes("firstother")) text += String((await once(raw, "data"))[0]);
});

test("the rest of a body that is too large is not waited for", { timeout: 5_000 }, async (t) => {
  const listener = await start(t, { routes });
  const raw = connect(listener.port, "127.0.0.1");
  raw.write(`POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n${"x".repeat(2_000)}`);
  let text = "";
  for await (const chunk of raw) text += chunk;
  assert.match(text, /^HTTP\/1\.1 413 /);
});
