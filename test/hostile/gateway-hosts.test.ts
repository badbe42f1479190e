import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../../src/config.ts";
import { GatewayHosts } from "../../src/gateway-hosts.ts";
import { assertError } from "../support/hostile.ts";
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
