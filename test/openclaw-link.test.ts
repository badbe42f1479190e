import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { z } from "zod";
import { PAIRING_MS } from "../machines/gateway-link.ts";
import { deviceKeyPlace } from "../src/auth/sealed-places.ts";
import { GatewayError } from "../src/gateways/driver.ts";
import { deviceOf } from "../src/gateways/openclaw/device.ts";
import { SILENCE_MS } from "../src/gateways/openclaw/link.ts";
import { readUnsupportedFiles, rememberUnsupportedFile } from "../src/store/gateway-links.ts";
import { until } from "./support/await.ts";
import { inState, LinkStand, TOKEN } from "./support/link-stand.ts";
import { helloFor, refusedWith, ScriptedGateway } from "./support/scripted-gateway.ts";
import { TEST_SEAL } from "./support/seals.ts";

const DAY = 86_400_000;
const RIGHT_TOKEN = "the-token-that-is-right";
/** How every Ed25519 key in PKCS #8 begins, in base64. */
const PKCS8_HEAD = "MC4CAQAwBQYDK2Vw";
const permanent = (error: unknown) => error instanceof GatewayError && !error.transient;
const transient = (error: unknown) => error instanceof GatewayError && error.transient;
const badToken = refusedWith(
  {
    code: "INVALID_REQUEST",
    message: "unauthorized: gateway token mismatch (provide gateway auth token)",
    details: { code: "AUTH_TOKEN_MISMATCH" },
  },
  1008,
  "unauthorized",
);

test("the handshake is signed by a device of the server's own, and tells what the gateway is", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  const [connect] = gateway.connects;
  assert.ok(connect);
  assert.deepEqual([connect.minProtocol, connect.maxProtocol, connect.role], [3, 4, "operator"]);
  assert.deepEqual([connect.client.id, connect.client.mode], ["gateway-client", "backend"]);
  assert.deepEqual(connect.auth, { token: TOKEN });
  assert.deepEqual(connect.scopes, [
    "operator.admin",
    "operator.read",
    "operator.write",
    "operator.approvals",
    "operator.pairing",
  ]);
  const raw = Buffer.from(connect.device.publicKey, "base64url");
  assert.equal(connect.device.id, createHash("sha256").update(raw).digest("hex"));
  assert.equal(gateway.upgrades[0]?.headers.origin, undefined);
  assert.deepEqual(link.hello, {
    protocol: 4,
    version: "2026.9.6",
    maxPayload: 26_214_400,
  });
  assert.deepEqual(stand.states, ["connecting", "ready"]);
  assert.deepEqual(stand.statuses.at(-1), link.status);
  assert.deepEqual([link.status.protocol, link.status.last_error], [4, null]);
  assert.deepEqual(gateway.faults, []);
});

test("the device stays the same over connections and restarts, and is sealed in Postgres", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const brief = await stand.gateway(gateway.url);
  await stand.links.of(brief).ready();
  const other = await stand.ready(gateway.url);
  await stand.restart();
  await stand.links.of(brief).ready();
  const [first, another, again] = gateway.connects.map(({ device }) => device.id);
  assert.equal(first, again);
  assert.notEqual(first, another);
  const rows = await stand.database<{ id: string; organizationId: string; sealed: Buffer }[]>`
    select gateway_id as id, organization_id as "organizationId", device_key_sealed as sealed from gateway_links where gateway_id in (${brief.id}, ${other.gatewayId})`;
  assert.equal(rows.length, 2);
  const kept = rows.map(({ sealed, ...gateway }) => {
    assert.ok(!sealed.includes(PKCS8_HEAD), "the key can be read");
    return deviceOf(TEST_SEAL.open(sealed, deviceKeyPlace(gateway)) ?? "").id;
  });
  assert.deepEqual(new Set(kept), new Set([first, another]));
  assert.deepEqual(gateway.faults, []);
});

test("an identity that cannot be read any more is made anew, and the log says so", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const brief = await stand.gateway(gateway.url);
  await stand.links.of(brief).ready();
  await stand.database`update gateway_links set device_key_sealed = 'sealed with another key'`;
  await stand.restart();
  await stand.links.of(brief).ready();
  const [first, again] = gateway.connects.map(({ device }) => device.id);
  assert.notEqual(first, again);
  assert.match(stand.logged, /was sealed with another secret key/);
});

test("a wrong token is refused for good, until it is set right", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  gateway.greet = ({ auth }) => (auth?.token === RIGHT_TOKEN ? helloFor() : badToken);
  const stand = await LinkStand.open(t);
  const brief = await stand.gateway(gateway.url);
  const link = stand.links.of(brief);
  await assert.rejects(link.ready(), permanent);
  const { state, last_error, hint, next_try_at } = link.status;
  assert.deepEqual([state, next_try_at], ["refused", null]);
  assert.match(last_error ?? "", /gateway token mismatch/);
  assert.match(hint ?? "", /gateway\.update/);
  stand.clock.advance(DAY);
  assert.equal(stand.links.of(brief), link);
  await assert.rejects(link.request("config.get", {}, z.unknown()), permanent);
  assert.equal(gateway.connects.length, 1);
  stand.links.reconnect(brief.id);
  await until(() => gateway.connects.length === 2, { what: "the try that was asked for" });
  await inState(link, "refused");
  stand.links.of({ ...brief, token: RIGHT_TOKEN });
  await link.ready();
  assert.deepEqual([link.status.last_error, link.status.hint], [null, null]);
  const told = JSON.stringify(stand.statuses) + stand.logged;
  for (const secret of [TOKEN, RIGHT_TOKEN]) assert.ok(!told.includes(secret), "a token was told");
});

test("what a person has to set right is refused with a hint", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const cases: [ReturnType<typeof gateway.greet>, RegExp, RegExp][] = [
    [
      refusedWith({ code: "INVALID_REQUEST", message: "protocol mismatch" }, 1002, "protocol mismatch"),
      /protocol mismatch/,
      /3 and 4/,
    ],
    [
      refusedWith({ code: "INVALID_REQUEST", message: "device signature expired" }, 1008, "x"),
      /expired/,
      /clocks/,
    ],
    [helloFor({ auth: { scopes: ["operator.read"] } }), /missing scope: operator\.admin/, /scopes/],
    [{ type: "hello-ok", protocol: "four" }, /form that is not known/, /another version/],
  ];
  for (const [greeting, error, hint] of cases) {
    gateway.greet = () => greeting;
    const link = stand.links.of(await stand.gateway(gateway.url));
    const status = await inState(link, "refused");
    assert.match(status.last_error ?? "", error);
    assert.match(status.hint ?? "", hint);
  }
});

test("pairing waits for a person, and looks again by itself and when asked", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const pairing = refusedWith(
    { code: "NOT_PAIRED", message: "pairing required", details: { requestId: "request-1" } },
    1008,
    "pairing required",
  );
  gateway.greet = () => pairing;
  const stand = await LinkStand.open(t);
  const link = stand.links.of(await stand.gateway(gateway.url));
  await assert.rejects(link.ready(), permanent);
  assert.equal(link.status.pairing_request_id, "request-1");
  assert.match(link.status.hint ?? "", /request-1/);
  stand.clock.advance(PAIRING_MS);
  await until(() => gateway.connects.length === 2, { what: "another look" });
  await inState(link, "pairing_required");
  gateway.greet = () => helloFor();
  stand.links.reconnect(link.gatewayId);
  await link.ready();
  assert.equal(link.status.pairing_request_id, null);
  assert.equal(new Set(gateway.connects.map(({ device }) => device.id)).size, 1);
});

test("a restart is waited for, and a gateway that still starts is asked when it says", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  gateway.greet = () =>
    refusedWith(
      { code: "UNAVAILABLE", message: "gateway starting", retryable: true, retryAfterMs: 500 },
      1013,
      "gateway starting",
    );
  gateway.tell("shutdown", { reason: "gateway restarting" });
  gateway.drop(1012, "service restart");
  await inState(link, "restarting");
  const waiting = link.ready();
  stand.toNextTry(link);
  const status = await until(
    () => link.status.last_error === "gateway starting" && link.status.next_try_at !== null && link.status,
    { what: "the gateway's word" },
  );
  assert.equal(status.state, "restarting");
  assert.ok(Date.parse(status.next_try_at ?? "") - stand.clock.now() >= 500);
  gateway.greet = () => helloFor();
  stand.toNextTry(link);
  await waiting;
  assert.deepEqual(stand.states, [
    "connecting",
    "ready",
    "restarting",
    "connecting",
    "restarting",
    "connecting",
    "ready",
  ]);
});

test("a gateway that answers that it restarts is waited for however the connection ends, and not asked again at once", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  gateway.answer = ({ id, method }, peer) => {
    const error = {
      code: "UNAVAILABLE",
      message: `${method} unavailable during gateway restart`,
      retryable: true,
    };
    peer.send(JSON.stringify({ type: "res", id, ok: false, error }));
  };
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  await assert.rejects(
    link.request("agents.list", {}, z.unknown()),
    (error) => error instanceof GatewayError && error.transient && error.retryAfterMs === 2_000,
  );
  assert.equal(link.status.state, "ready");
  gateway.peer.terminate();
  await inState(link, "restarting");
});

test("a gateway that starts just now is a restart, and its challenge is answered once", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  gateway.greet = () => {
    gateway.tell("connect.challenge", { nonce: "another", ts: 1 });
    return null;
  };
  const stand = await LinkStand.open(t);
  const link = stand.links.of(await stand.gateway(gateway.url));
  await until(() => gateway.connects.length === 1, { what: "the handshake" });
  const ponged = new Promise((resolve) => gateway.peer.once("pong", resolve));
  gateway.peer.ping();
  await ponged;
  gateway.greet = () =>
    refusedWith({ code: "UNAVAILABLE", message: "gateway starting" }, 1013, "gateway starting");
  link.reconnect();
  await inState(link, "restarting");
  assert.equal(gateway.connects.length, 2);
  assert.deepEqual(gateway.faults, []);
});

test("a gateway that says nothing for too long is dialled anew; any sign counts", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  stand.clock.advance(SILENCE_MS - 5_000);
  gateway.tell("tick", { ts: 1 });
  await until(() => stand.events.length === 1, { what: "the tick" });
  stand.clock.advance(SILENCE_MS);
  assert.equal(link.status.state, "ready");
  stand.clock.advance(5_000);
  assert.equal(link.status.state, "backing_off");
  assert.match(link.status.last_error ?? "", /75 s/);
  stand.toNextTry(link);
  await link.ready();
});

test("what cannot be reached is tried again, with the same words whatever the cause", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const own = await ScriptedGateway.open(t, { tls: true });
  const saw = async (url: string) => {
    const { last_error, hint } = await inState(stand.links.of(await stand.gateway(url)), "backing_off");
    return { error: last_error?.replace(new URL(url).host, "HOST"), hint };
  };
  gateway.httpStatus = 503;
  const busy = await saw(gateway.url);
  assert.equal(busy.error, "The gateway at HOST cannot be reached");
  for (const word of [/running/, /proxy/, /MUSTER_GATEWAY_HOSTS/, /allow_insecure_tls/, /log/])
    assert.match(busy.hint ?? "", word);
  for (const status of [200, 302, 403, 404]) {
    gateway.httpStatus = status;
    assert.deepEqual(await saw(gateway.url.replace("ws:", "http:")), busy, String(status));
  }
  assert.match(stand.logged, /Unexpected server response: 403/, "the log has the cause");
  assert.deepEqual(await saw(own.url), busy, "a certificate that is not good");
  assert.deepEqual(await saw(own.url.replace("wss:", "ws:")), busy, "no TLS where there should be");
  assert.deepEqual(await saw("ws://no-such-host.invalid:18789"), busy);
  assert.deepEqual(await saw("ws://169.254.169.254:80"), busy, "one that may not be dialled");
  gateway.httpStatus = null;
  gateway.greet = () => null;
  const hung = saw(gateway.url);
  await until(() => gateway.peers.size === 1, { what: "the handshake" });
  gateway.drop(1000);
  assert.deepEqual(await hung, busy, "hung up on");
  await gateway.close();
  assert.deepEqual(await saw(gateway.url), busy, "nobody listens");
  const mute = createServer(() => {});
  mute.listen(0, "127.0.0.1");
  await once(mute, "listening");
  t.after(() => mute.close());
  const address = mute.address();
  assert.ok(typeof address === "object" && address !== null);
  const waiting = saw(`ws://127.0.0.1:${address.port}`);
  await once(mute, "connection");
  stand.clock.advance(10_000);
  assert.deepEqual(await waiting, busy, "nobody speaks");
});

test("work waits for a link that was lost as long as a restart takes, and then no more", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  stand.clock.advance(60_000);
  gateway.greet = () => null;
  gateway.drop(1012, "service restart");
  await inState(link, "restarting");
  let isOver = false;
  const waiting = assert.rejects(
    link.ready().finally(() => {
      isOver = true;
    }),
    transient,
  );
  stand.clock.advance(29_999);
  await new Promise(setImmediate);
  assert.equal(isOver, false);
  stand.clock.advance(1);
  await waiting;
  // Who comes later is not kept waiting: it is tried again anyway.
  const late = link.ready();
  stand.clock.advance(0);
  await assert.rejects(late, transient);
  gateway.greet = () => helloFor();
  link.reconnect();
  await link.ready();
});

test("a url that cannot be dialled is refused", async (t) => {
  const stand = await LinkStand.open(t);
  for (const url of ["ws://a:99999999", "ws://[", "https://"]) {
    const link = stand.links.of(await stand.gateway(url));
    assert.match((await inState(link, "refused")).hint ?? "", /gateway\.update/, url);
  }
  const brief = await stand.gateway(null);
  assert.throws(() => stand.links.of(brief), permanent);
});

test("a certificate of its own is taken when the gateway's settings say so", async (t) => {
  const gateway = await ScriptedGateway.open(t, { tls: true });
  const stand = await LinkStand.open(t);
  const brief = await stand.gateway(gateway.url.replace("wss:", "https:"));
  const link = stand.links.of(brief);
  assert.match((await inState(link, "backing_off")).hint ?? "", /allow_insecure_tls/);
  assert.equal(gateway.connects.length, 0);
  stand.links.of({ ...brief, allowInsecureTls: true });
  await link.ready();
});

test("a gateway that does not shake hands is given up after 10 s", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  gateway.greet = () => null;
  const stand = await LinkStand.open(t);
  const link = stand.links.of(await stand.gateway(gateway.url));
  await until(() => gateway.connects.length === 1, { what: "the handshake" });
  stand.clock.advance(10_000);
  assert.equal(link.status.state, "backing_off");
  await until(() => gateway.peers.size === 0, { what: "the socket to be gone" });
});

test("at most 32 gateways are dialled at a time, and in the end all", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  gateway.greet = () => null;
  const stand = await LinkStand.open(t);
  const briefs = await Promise.all(Array.from({ length: 50 }, () => stand.gateway(gateway.url)));
  const links = briefs.map((brief) => stand.links.of(brief));
  await until(() => gateway.connects.length === 32, { what: "the first dials" });
  gateway.greet = () => helloFor();
  stand.clock.advance(10_000);
  await until(() => links.filter(({ status }) => status.state === "ready").length === 18, {
    what: "the others' turn",
  });
  assert.equal(gateway.upgrades.length, 50);
  for (const link of links) if (link.status.state === "backing_off") stand.toNextTry(link);
  await Promise.all(links.map((link) => link.ready()));
});

test("after stop nothing is left: no timer, no socket, nobody who waits", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  gateway.answer = () => {};
  const stand = await LinkStand.open(t);
  const link = await stand.ready(gateway.url);
  gateway.greet = () => null;
  const slow = stand.links.of(await stand.gateway(gateway.url));
  await until(() => gateway.peers.size === 2, { what: "both connections" });
  const rejected = [
    assert.rejects(link.request("config.get", {}, z.unknown()), transient),
    assert.rejects(slow.ready(), transient),
  ];
  await until(() => gateway.requests.length === 1, { what: "the request" });
  await stand.links.stop();
  await Promise.all(rejected);
  assert.equal(stand.clock.timers, 0);
  await until(() => gateway.peers.size === 0, { what: "the sockets to be gone" });
  link.reconnect();
  slow.retry();
  assert.equal(stand.clock.timers, 0);
  assert.equal(gateway.upgrades.length, 2);
  const brief = await stand.gateway(gateway.url);
  assert.throws(() => stand.links.of(brief), transient);
});

test("files that a gateway's version does not take are remembered, for that version", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const stand = await LinkStand.open(t);
  const { gatewayId } = await stand.ready(gateway.url);
  assert.deepEqual(await readUnsupportedFiles(stand.database, gatewayId, "1"), []);
  for (const name of ["TOOLS.md", "HEARTBEAT.md", "TOOLS.md"])
    await rememberUnsupportedFile(stand.database, gatewayId, "1", name);
  assert.deepEqual(await readUnsupportedFiles(stand.database, gatewayId, "1"), ["TOOLS.md", "HEARTBEAT.md"]);
  assert.deepEqual(await readUnsupportedFiles(stand.database, gatewayId, "2"), []);
  await rememberUnsupportedFile(stand.database, gatewayId, "2", "BOOT.md");
  assert.deepEqual(await readUnsupportedFiles(stand.database, gatewayId, "2"), ["BOOT.md"]);
});
