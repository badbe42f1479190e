import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { GatewayError } from "../src/gateways/driver.ts";
import { GatewayRefusal, LinkLost } from "../src/gateways/openclaw/failures.ts";
import { until } from "./support/await.ts";
import { inState, LinkStand } from "./support/link-stand.ts";
import { helloFor, ScriptedGateway } from "./support/scripted-gateway.ts";
import { seeded } from "./support/seeded.ts";

const anything = z.unknown();
const numbered = z.object({ n: z.number() });
const permanent = (error: unknown) => error instanceof GatewayError && !error.transient;
const transient = (error: unknown) => error instanceof GatewayError && error.transient;

test("answers are matched by id, in whatever order they come, and validated", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  gateway.answer = (_, peer) => {
    if (gateway.requests.length < 3) return;
    for (const { id, params } of gateway.requests.toReversed())
      peer.send(JSON.stringify({ type: "res", id, ok: true, payload: { ...params, more: true } }));
  };
  const answers = await Promise.all([1, 2, 3].map((n) => link.request("agents.list", { n }, numbered)));
  assert.deepEqual(answers, [{ n: 1 }, { n: 2 }, { n: 3 }]);
  gateway.answer = ({ id }, peer) => peer.send(JSON.stringify({ type: "res", id, ok: true, payload: 5 }));
  await assert.rejects(link.request("agents.list", {}, numbered), permanent);
  assert.equal(link.status.state, "ready");
});

test("an answer that says no carries the gateway's words, its code, and whether trying again helps", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  const asked = async (error: unknown) => {
    gateway.answer = ({ id }, peer) => peer.send(JSON.stringify({ type: "res", id, ok: false, error }));
    const refusal = await link.request("config.patch", {}, anything).then(
      () => assert.fail("it was not refused"),
      (thrown: unknown) => thrown,
    );
    assert.ok(refusal instanceof GatewayRefusal, String(refusal));
    return refusal;
  };
  const unknown = await asked({ code: "INVALID_REQUEST", message: 'agent "nope" not found' });
  assert.deepEqual(
    [unknown.code, unknown.said, unknown.transient],
    ["INVALID_REQUEST", 'agent "nope" not found', false],
  );
  const limited = await asked({
    code: "UNAVAILABLE",
    message: "rate limit exceeded for config.patch; retry after 60s",
    retryable: true,
    retryAfterMs: 41_000,
    details: { method: "config.patch", limit: "3 per 60s" },
  });
  assert.deepEqual([limited.transient, limited.retryAfterMs], [true, 41_000]);
  assert.equal(limited.details.limit, "3 per 60s");
  const stale = await asked({
    code: "INVALID_REQUEST",
    message: "config changed since last load; re-run config.get and retry",
  });
  assert.equal(stale.transient, true);
  const scope = await asked({ code: "INVALID_REQUEST", message: "missing scope: operator.admin" });
  assert.match(scope.message, /^missing scope: operator\.admin.+needs the scopes/);
  for (const odd of [undefined, null, "no", {}, { message: 5, details: [] }])
    assert.equal((await asked(odd)).code, "UNKNOWN");
  assert.equal((await asked({ code: "X", message: "long ".repeat(10_000) })).said.length, 1_000);
});

test("odd frames and second answers are ignored", async (t) => {
  const random = seeded(t);
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  const odd = [
    "",
    "not JSON",
    "null",
    "[]",
    "5",
    "{}",
    '{"type":"res"}',
    '{"type":"res","id":5,"ok":true}',
    '{"type":"res","id":"unknown","ok":true,"payload":{}}',
    '{"type":"res","id":"connect","ok":false,"error":{"code":"X","message":"late"}}',
    '{"type":"event"}',
    '{"type":"event","event":7}',
    '{"type":"req","id":"1","method":"take.over","params":{}}',
    `${"[".repeat(50_000)}`,
    Buffer.from('{"type":"event","event":"binary","payload":{}}'),
  ];
  gateway.answer = ({ id, params }, peer) => {
    for (let times = 0; times < 5; times++) peer.send(odd[Math.floor(random() * odd.length)] ?? "");
    peer.send(JSON.stringify({ type: "res", id, ok: true, payload: params }));
    peer.send(JSON.stringify({ type: "res", id, ok: false, error: { code: "LATE", message: "second" } }));
  };
  for (const frame of odd) gateway.peer.send(frame);
  for (let n = 0; n < 50; n++) assert.deepEqual(await link.request("agents.list", { n }, numbered), { n });
  assert.equal(link.status.state, "ready");
  assert.deepEqual(stand.events, []);
  gateway.tell("without.payload");
  await until(() => stand.events.length === 1, { what: "the event" });
  assert.equal(gateway.connects.length, 1);
  assert.deepEqual(gateway.faults, []);
});

test("at most 8 requests are under way; the others wait in order, and not without end", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  gateway.answer = () => {};
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  const answers = Array.from({ length: 10_000 }, (_, n) => link.request("agents.list", { n }, numbered));
  await assert.rejects(link.request("agents.list", {}, anything), transient);
  await until(() => gateway.requests.length >= 8, { what: "the first requests" });
  assert.equal(gateway.requests.length, 8);
  let most = 0;
  let underWay = 8;
  const answer: typeof gateway.answer = ({ id, params }, peer) => {
    underWay -= 1;
    peer.send(JSON.stringify({ type: "res", id, ok: true, payload: params }));
  };
  gateway.answer = (request, peer) => {
    most = Math.max(most, ++underWay);
    answer(request, peer);
  };
  for (const request of [...gateway.requests]) answer(request, gateway.peer);
  await Promise.all(answers);
  assert.deepEqual(
    gateway.requests.map(({ params }) => params.n),
    answers.map((_, n) => n),
  );
  assert.ok(most <= 8, `${most} at a time`);
});

test("what is too large for the gateway is refused here, and the link stays", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  gateway.greet = () => helloFor({ policy: { maxPayload: 1_000 } });
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  await assert.rejects(link.request("agents.files.set", { content: "ü".repeat(500) }, anything), (error) => {
    assert.ok(permanent(error));
    assert.match(String(error), /1000 bytes/);
    return true;
  });
  await link.request("agents.files.set", { content: "ü".repeat(400) }, anything);
  assert.deepEqual([gateway.requests.length, link.status.state], [1, "ready"]);
});

test("a request is lost with its connection, and can be made again on the next", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const { answer } = gateway;
  gateway.answer = () => {};
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  const lost = [1, 2, 3].map((n) =>
    assert.rejects(
      link.request("agents.list", { n }, anything),
      (error) => error instanceof LinkLost && error.transient,
    ),
  );
  await until(() => gateway.requests.length === 3, { what: "the requests" });
  gateway.drop(1012, "service restart");
  await Promise.all(lost);
  assert.equal(link.status.state, "restarting");
  gateway.answer = answer;
  const again = link.request("agents.list", { n: 4 }, numbered);
  stand.toNextTry(link);
  assert.deepEqual(await again, { n: 4 });
});

test("a connection that ends without a word is lost too", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  gateway.answer = (_, peer) => peer.terminate();
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  await assert.rejects(link.request("agents.list", {}, anything), LinkLost);
  assert.equal(
    (await inState(link, "backing_off")).last_error,
    "The connection to the gateway was lost (1006)",
  );
});

test("a request has its own time, can be called off, and leaves nothing behind", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const { answer } = gateway;
  gateway.answer = () => {};
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  const timers = stand.clock.timers;
  const late = [
    assert.rejects(link.request("agents.list", {}, anything), /did not answer agents\.list within 30 s/),
    assert.rejects(link.request("agents.list", {}, anything, { timeoutMs: 40_000 }), /within 40 s/),
  ];
  await until(() => gateway.requests.length === 2, { what: "the requests" });
  stand.clock.advance(40_000);
  await Promise.all(late);
  const off = new AbortController();
  const calledOff = assert.rejects(
    link.request("agents.list", {}, anything, { signal: off.signal }),
    transient,
  );
  await until(() => gateway.requests.length === 3, { what: "the request" });
  off.abort();
  await calledOff;
  await assert.rejects(link.request("agents.list", {}, anything, { signal: off.signal }), transient);
  assert.equal(gateway.requests.length, 3);
  assert.equal(stand.clock.timers, timers);
  for (const request of gateway.requests) answer(request, gateway.peer);
  gateway.answer = answer;
  assert.deepEqual(await link.request("agents.list", { n: 9 }, numbered), { n: 9 });
});

test("the latest answer's time is told", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const { answer } = gateway;
  gateway.answer = (request, peer) => {
    stand.clock.advance(25);
    answer(request, peer);
  };
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  assert.equal(link.status.latency_ms, null);
  await link.request("agents.list", {}, anything);
  assert.equal(link.status.latency_ms, 25);
});

test("other settings cut what is under way, and the same ones nothing", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  gateway.answer = () => {};
  const stand = await LinkStand.open(t);
  const brief = await stand.gateway(gateway.url);
  const link = stand.links.of(brief);
  await link.ready();
  const lost = assert.rejects(link.request("agents.list", {}, anything), LinkLost);
  await until(() => gateway.requests.length === 1, { what: "the request" });
  stand.links.of({ ...brief, name: "Another name", workspaceRoot: "/srv" });
  stand.links.reconnect(brief.id);
  assert.equal(link.status.state, "ready");
  stand.links.of({ ...brief, token: null });
  await lost;
  await link.ready();
  assert.deepEqual(
    gateway.connects.map(({ auth }) => auth !== undefined),
    [true, false],
  );
  assert.deepEqual(gateway.faults, []);
});
