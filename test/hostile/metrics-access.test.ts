import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError, readConfig } from "../../src/config.ts";
import { metricsAccess, type Scraper } from "../../src/edge/metrics-access.ts";
import { freePort } from "../support/free-port.ts";
import { startTestServer } from "../support/server.ts";

const TOKEN = "a-token-for-metrics";
const FIGURES = /^muster_sessions \d+$/m;

const get = async (url: string, headers: Record<string, string> = {}, method = "GET") => {
  const answer = await fetch(url, { headers, method });
  return { status: answer.status, text: await answer.text() };
};

async function refusedFor(url: string, headers: Record<string, string>, words: RegExp): Promise<void> {
  const { status, text } = await get(url, headers);
  assert.equal(status, 403, JSON.stringify(headers));
  assert.match(JSON.parse(text).detail, words);
  assert.doesNotMatch(text, FIGURES);
}

test("/metrics without a token is for peers on this machine that speak for themselves", async (t) => {
  const server = await startTestServer(t);
  const url = `${server.url}/metrics`;
  assert.match((await get(url)).text, FIGURES);
  const proxies = [
    "X-Forwarded-For",
    "Forwarded",
    "X-Real-IP",
    "Via",
    "X-Forwarded-Host",
    "CF-Connecting-IP",
  ];
  for (const header of proxies) await refusedFor(url, { [header]: "127.0.0.1" }, /MUSTER_METRICS_TOKEN/);
});

test("which addresses are this machine's", () => {
  const access = metricsAccess({ metricsToken: undefined, metricsPort: undefined });
  const from = (remoteAddress: string): Scraper => ({ remoteAddress, headers: () => undefined });
  const ours = [
    "127.0.0.1",
    "127.1.2.3",
    "::1",
    "0000:0000:0000:0000:0000:0000:0000:0001",
    "::ffff:127.0.0.1",
    "0000:0000:0000:0000:0000:ffff:7f00:0001",
  ];
  for (const address of ours) assert.equal(access(from(address)), null, address);
  for (const address of ["10.0.0.1", "128.0.0.1", "::2", "::ffff:10.0.0.1", "fe80::1", "", "localhost"])
    assert.notEqual(access(from(address)), null, address);
});

test("/metrics with a token is for who shows it", async (t) => {
  const server = await startTestServer(t, { environment: { MUSTER_METRICS_TOKEN: TOKEN } });
  const url = `${server.url}/metrics`;
  const shown = (token: string) => ({ authorization: `Bearer ${token}` });
  const proxied = { ...shown(TOKEN), "x-forwarded-for": "10.0.0.1" };
  for (const headers of [shown(TOKEN), proxied]) assert.match((await get(url, headers)).text, FIGURES);
  const bad = [
    {},
    shown("another-token-that-is-wrong"),
    shown(`${TOKEN}x`),
    shown(TOKEN.slice(1)),
    shown(server.organization.token),
  ];
  for (const headers of [...bad, { authorization: `Basic ${TOKEN}` }])
    await refusedFor(url, headers, /MUSTER_METRICS_TOKEN/);
});

test("metrics on a port of their own are there only, with what tells whether the server lives", async (t) => {
  const port = await freePort();
  const server = await startTestServer(t, { environment: { MUSTER_METRICS_PORT: String(port) } });
  const own = `http://127.0.0.1:${port}`;
  await refusedFor(`${server.url}/metrics`, {}, /MUSTER_METRICS_PORT/);
  assert.match((await get(`${own}/metrics`)).text, FIGURES);
  for (const path of ["/healthz", "/readyz"]) assert.equal((await get(own + path)).status, 200);
  assert.deepEqual(await get(`${own}/metrics`, {}, "HEAD"), { status: 200, text: "" });
  assert.equal((await get(`${own}/metrics`, {}, "POST")).status, 405);
  for (const path of ["/", "/v1/socket", "/api/v1/agents/heartbeat", "/metrics/"])
    assert.equal((await get(own + path)).status, 404, path);
  await server.stop();
  await assert.rejects(get(`${own}/metrics`));
});

test("a token counts on the port of their own too", async (t) => {
  const port = await freePort();
  await startTestServer(t, {
    environment: { MUSTER_METRICS_PORT: String(port), MUSTER_METRICS_TOKEN: TOKEN },
  });
  const url = `http://127.0.0.1:${port}/metrics`;
  await refusedFor(url, {}, /MUSTER_METRICS_TOKEN/);
  assert.match((await get(url, { authorization: `Bearer ${TOKEN}` })).text, FIGURES);
});

test("settings for metrics that cannot be used are named", () => {
  const wrong: [Record<string, string>, RegExp][] = [
    [{ MUSTER_METRICS_TOKEN: "short" }, /^MUSTER_METRICS_TOKEN: .*16/],
    [{ MUSTER_METRICS_TOKEN: "sixteen and more, with spaces" }, /^MUSTER_METRICS_TOKEN: /],
    [{ MUSTER_METRICS_PORT: "65536" }, /^MUSTER_METRICS_PORT: .*whole number/],
    [{ MUSTER_METRICS_PORT: "metrics" }, /^MUSTER_METRICS_PORT: /],
    [{ PORT: "9000", MUSTER_METRICS_PORT: "9000" }, /^MUSTER_METRICS_PORT: must be another port/],
  ];
  for (const [environment, words] of wrong)
    assert.throws(
      () => readConfig(environment),
      (error: unknown) => error instanceof ConfigError && words.test(error.message),
      JSON.stringify(environment),
    );
});
