import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../src/metrics.ts";

/** The value of one series, by its name with labels. */
const value = (text: string, series: string) =>
  text
    .split("\n")
    .find((line) => line.startsWith(`${series} `))
    ?.slice(series.length + 1);

test("each server counts for itself", async () => {
  const [one, other] = [createMetrics(), createMetrics()];
  one.sessions.inc();
  one.heartbeats.inc(5);
  one.commitDuration.observe(0.004);
  assert.equal(value(await one.text(), "muster_sessions"), "1");
  assert.equal(value(await one.text(), "muster_heartbeats_total"), "5");
  assert.equal(value(await one.text(), 'muster_commit_duration_seconds_bucket{le="0.005"}'), "1");
  assert.equal(value(await other.text(), "muster_heartbeats_total"), "0");
  assert.match(one.contentType, /^text\/plain/);
});

test("names that clients make up add no series", async () => {
  const metrics = createMetrics();
  metrics.countRequest("agent.list");
  for (const made of ["x1", "x2", "__proto__", "toString"]) metrics.countRequest(made);
  const text = await metrics.text();
  assert.equal(value(text, 'muster_requests_total{method="agent.list"}'), "1");
  assert.equal(value(text, 'muster_requests_total{method="unknown"}'), "4");
  assert.equal(text.match(/^muster_requests_total\{/gm)?.length, 2);
});

test("every reason of an error is there before its first", async () => {
  const metrics = createMetrics();
  metrics.countError("conflict");
  const text = await metrics.text();
  assert.equal(value(text, 'muster_errors_total{reason="conflict"}'), "1");
  assert.equal(value(text, 'muster_errors_total{reason="timeout"}'), "0");
});

test("agents by status are counted when they are asked for", async () => {
  const metrics = createMetrics();
  assert.equal(value(await metrics.text(), 'muster_agents{status="online"}'), undefined);
  let online = 1;
  metrics.agentsFrom(() => ({ provisioning: 0, online, updating: 0, deleting: 0, offline: 7 }));
  assert.equal(value(await metrics.text(), 'muster_agents{status="online"}'), "1");
  online = 3;
  assert.equal(value(await metrics.text(), 'muster_agents{status="online"}'), "3");
  assert.equal(value(await metrics.text(), 'muster_agents{status="offline"}'), "7");
});

test("what waits for Postgres is asked for at each scrape", async () => {
  const metrics = createMetrics();
  const changesIn = async () => value(await metrics.text(), 'muster_backlog{kind="changes"}');
  assert.equal(await changesIn(), undefined);
  let changes = 1;
  metrics.backlogFrom(() => ({ heartbeats: 0, agents: 0, changes, journal: 0 }));
  assert.equal(await changesIn(), "1");
  changes = 3;
  assert.equal(await changesIn(), "3");
});
