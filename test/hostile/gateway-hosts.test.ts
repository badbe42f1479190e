import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { readConfig } from "../../src/config.ts";
import { GatewayHosts } from "../../src/gateway-hosts.ts";
import { until } from "../support/await.ts";
import { assertError } from "../support/hostile.ts";
import { inState, LinkStand } from "../support/link-stand.ts";
import { ScriptedGateway } from "../support/scripted-gateway.ts";
import { startTestServer } from "../support/server.ts";

const SPECIAL = [
  "169.254.169.254",
  "169.254.0.1",
  "100.100.100.200",
  "0.0.0.0",
  "224.0.0.1",
  "255.255.255.255",
  "[fe80::1]",
  "[fd00:ec2::254]",
  "[::]",
  "[::ffff:169.254.169.254]",
  "[::ffff:a9fe:a9fe]",
  "[64:ff9b::169.254.169.254]",
  "[2002:a9fe:a9fe::1]",
  "2852039166",
  "0xa9fea9fe",
  "0251.0376.0251.0376",
];
const USUAL = ["127.0.0.1", "10.1.2.3", "192.168.0.9", "[::1]", "[fd12::1]", "gateway.example", "8.8.8.8"];
const mayBe = (hosts: GatewayHosts, host: string) => hosts.mayBe(new URL(`ws://${host}:18789`));

test("link-local, metadata and other special addresses are no gateway's, in whatever form they are written", () => {
  for (const host of SPECIAL) assert.equal(mayBe(GatewayHosts.usual, host), false, host);
  for (const host of USUAL) assert.equal(mayBe(GatewayHosts.usual, host), true, host);
  const named = GatewayHosts.parse("169.254.169.254, gateway.example");
  assert.equal(mayBe(named, "169.254.169.254"), true);
  assert.equal(mayBe(named, "[::ffff:169.254.169.254]"), true);
  assert.equal(mayBe(named, "169.254.169.253"), false);
  // A range that holds more than special addresses does not name them.
  assert.equal(mayBe(GatewayHosts.parse("0.0.0.0/0"), "169.254.169.254"), false);
});

test("a name is judged by the addresses that it resolves to", () => {
  const named = GatewayHosts.parse("gateway.example,10.0.0.0/8");
  assert.equal(named.mayDial("gateway.example", "192.168.0.1"), true);
  assert.equal(named.mayDial("gateway.example", "169.254.169.254"), false);
  assert.equal(named.mayDial("other.example", "10.9.9.9"), true);
  assert.equal(named.mayDial("other.example", "11.9.9.9"), false);
  assert.equal(GatewayHosts.usual.mayDial("metadata.google.internal", "169.254.169.254"), false);
});

test("MUSTER_GATEWAY_HOSTS holds at create and at update, and what can match nothing stops the start", async (t) => {
  const server = await startTestServer(t, { environment: { MUSTER_GATEWAY_HOSTS: "127.0.0.0/8" } });
  const owner = await server.wire();
  const create = (url: string) =>
    owner.ask({ method: "gateway.create", params: { name: `Gate of ${url}`, kind: "openclaw", url } });
  const { result } = await create("ws://127.0.0.1:1");
  for (const url of ["ws://10.0.0.1:1", "ws://169.254.169.254:1"]) {
    assertError(await create(url), "invalid_params", url);
    const params = { gateway_id: result.gateway.id, url };
    assertError(await owner.ask({ method: "gateway.update", params }), "invalid_params", url);
  }
  for (const list of [
    "",
    " , ",
    "*",
    "*.example",
    "http://a.example",
    "a.example:80",
    "10.0.0.0/33",
    "a b",
    "10.0.0",
  ])
    if (list.trim() !== "")
      assert.throws(() => readConfig({ MUSTER_GATEWAY_HOSTS: list }), /MUSTER_GATEWAY_HOSTS/, list);
});

test("a name is dialled at no address that gateways may not have, and nothing tells that somebody listens there", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const { port } = new URL(gateway.url);
  const see = async (list: string, state: string) => {
    const server = await startTestServer(t, { environment: { MUSTER_GATEWAY_HOSTS: list } });
    const owner = await server.wire();
    const { gateway: made } = await owner.call("gateway.create", {
      name: "By name",
      kind: "openclaw",
      url: `ws://localhost:${port}`,
      token: "the-gateways-own",
    });
    return until(
      async () => {
        const { link } = await owner.call("gateway.status", { gateway_id: made.id });
        return link?.state === state && link;
      },
      { what: `a link that is ${state}` },
    );
  };
  const { last_error } = await see("10.0.0.0/8", "backing_off");
  assert.equal(last_error, `The gateway at localhost:${port} cannot be reached`);
  assert.equal(gateway.upgrades.length, 0);
  await see("127.0.0.0/8", "ready");
  assert.equal(gateway.upgrades.length, 1);
});

test("a redirect is not followed", async (t) => {
  const gateway = await ScriptedGateway.open(t);
  const redirecting = createServer();
  redirecting.on("upgrade", (_, socket) =>
    socket.end(`HTTP/1.1 302 Found\r\nLocation: ${gateway.url}\r\nConnection: close\r\n\r\n`),
  );
  redirecting.listen(0, "127.0.0.1");
  await once(redirecting, "listening");
  t.after(() => redirecting.close());
  const address = redirecting.address();
  assert.ok(typeof address === "object" && address !== null);
  const stand = await LinkStand.open(t);
  const link = stand.links.of(await stand.gateway(`ws://127.0.0.1:${address.port}`));
  await inState(link, "backing_off");
  assert.equal(gateway.upgrades.length, 0);
});
