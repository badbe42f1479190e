import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { until } from "../support/await.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import type { Wire } from "../support/wire.ts";

const URL_BEFORE = "wss://gateway.example:18789/";

/** A gateway with a token, and the key that its link has made for it. */
async function withSecrets(server: TestServer, owner: Wire): Promise<{ gateway_id: string; key: string }> {
  const { gateway } = await owner.call("gateway.create", {
    name: `Gate ${randomUUID()}`,
    kind: "openclaw",
    url: URL_BEFORE,
    token: "the-gateways-own",
    main_session_key: "agent:main:main",
    workspace_root: "/srv",
  });
  await until(async () => (await keyOf(server, gateway.id)) !== undefined, { what: "the link's key" });
  return { gateway_id: gateway.id, key: (await keyOf(server, gateway.id)) ?? "" };
}

const keyOf = async (server: TestServer, id: string) => {
  const [row] = await server.database<{ device_key_sealed: Uint8Array }[]>`
    select device_key_sealed from gateway_links where gateway_id = ${id}`;
  return row && Buffer.from(row.device_key_sealed).toString("hex");
};

test("another address or weaker TLS forgets a gateway's token and key, unless a token comes along", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const elsewhere = [
    { url: "wss://other.example:18789" },
    { url: "wss://gateway.example:18790" },
    { url: "ws://gateway.example:18789" },
    { url: "wss://gateway.example:18789/other" },
    { url: "wss://gateway.example.evil:18789" },
    { url: null },
    { allow_insecure_tls: true },
    { url: URL_BEFORE, allow_insecure_tls: true },
  ];
  for (const change of elsewhere) {
    const { gateway_id, key } = await withSecrets(server, owner);
    const about = JSON.stringify(change);
    const { gateway } = await owner.call("gateway.update", { gateway_id, ...change });
    assert.equal(gateway.has_token, false, about);
    assert.notEqual(await keyOf(server, gateway_id), key, about);
    const cleared = await withSecrets(server, owner);
    await owner.call("gateway.update", { gateway_id: cleared.gateway_id, ...change, token: null });
    assert.notEqual(
      await keyOf(server, cleared.gateway_id),
      cleared.key,
      "no token is none that comes along",
    );
    const other = await withSecrets(server, owner);
    const brought = { gateway_id: other.gateway_id, ...change, token: "another" };
    const after = await owner.call("gateway.update", brought);
    assert.equal(after.gateway.has_token, true, about);
    assert.equal(await keyOf(server, other.gateway_id), other.key, about);
  }
});

test("what leads to the same place keeps them", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  for (const change of [
    { name: "Renamed" },
    { url: URL_BEFORE },
    { url: "wss://GATEWAY.example:18789" },
    { allow_insecure_tls: false },
    { workspace_root: "/other" },
  ]) {
    const { gateway_id, key } = await withSecrets(server, owner);
    const { gateway } = await owner.call("gateway.update", { gateway_id, ...change });
    assert.equal(gateway.has_token, true, JSON.stringify(change));
    assert.equal(await keyOf(server, gateway_id), key, JSON.stringify(change));
  }
  // Strict again after it was lax is no worse proof.
  const { gateway_id } = await withSecrets(server, owner);
  await owner.call("gateway.update", { gateway_id, allow_insecure_tls: true, token: "again" });
  const { gateway } = await owner.call("gateway.update", { gateway_id, allow_insecure_tls: false });
  assert.equal(gateway.has_token, true);
});
