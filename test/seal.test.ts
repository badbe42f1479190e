import assert from "node:assert/strict";
import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { Writable } from "node:stream";
import { type TestContext, test } from "node:test";
import { deriveKeys, type Keys } from "../src/auth/keys.ts";
import { createSeal, type SealedPlace } from "../src/auth/seal.ts";
import { gatewayTokenPlace, keptAnswerPlace } from "../src/auth/sealed-places.ts";
import { createLog } from "../src/log.ts";
import { startResealing } from "../src/resealing.ts";
import { SEALED_COLUMNS } from "../src/store/sealed-rows.ts";
import { readSalt, readSetting } from "../src/store/settings.ts";
import { until } from "./support/await.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const ORGANIZATION = "00000000-0000-4000-8000-00000000000a";
const OTHER = "00000000-0000-4000-8000-00000000000b";
const SALT = Buffer.alloc(16, 7);
const place = gatewayTokenPlace({ id: "00000000-0000-4000-8000-000000000001", organizationId: ORGANIZATION });

/** As values were sealed before there were versions. */
function sealedEarlier(secret: string, secretKey: string): Buffer {
  const key = createHash("sha256").update("muster seal v1\0").update(secretKey).digest();
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  const body = Buffer.concat([cipher.update(secret, "utf8"), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), body]);
}

test("B14 a sealed value opens in its own row, column, table and organization only", async () => {
  const seal = createSeal(await deriveKeys("a secret key of ours", SALT));
  const sealed = seal.seal("hush", place);
  assert.equal(sealed[0], 2, "a version byte stands in front");
  assert.equal(seal.open(sealed, place), "hush");
  const elsewhere: Partial<SealedPlace>[] = [
    { table: "agents" },
    { column: "url" },
    { row: OTHER },
    { organizationId: OTHER },
  ];
  for (const moved of elsewhere)
    assert.equal(seal.open(sealed, { ...place, ...moved }), undefined, JSON.stringify(moved));
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.equal(seal.open(changed, place), undefined, `byte ${at}`);
    assert.equal(seal.open(sealed.subarray(0, at), place), undefined, `cut after ${at} bytes`);
  }
  const other = createSeal(await deriveKeys("a secret key of ours", randomBytes(16)));
  assert.equal(other.open(sealed, place), undefined, "another database has another salt");
  const kept = { organizationId: ORGANIZATION, principalId: OTHER, method: "a", key: "b" };
  const answer = seal.seal("answer", keptAnswerPlace(kept));
  assert.equal(seal.open(answer, keptAnswerPlace({ ...kept, key: "c" })), undefined);
});

test("B14 what was sealed before there were versions, or with the old key, opens and is renewed", async () => {
  const [old, present] = [await deriveKeys("the key of before", SALT), await deriveKeys("today's key", SALT)];
  const seal = createSeal(present, old);
  const without = createSeal(present);
  const earlier = [
    sealedEarlier("hush", "the key of before"),
    sealedEarlier("hush", "today's key"),
    createSeal(old).seal("hush", place),
  ];
  // One in 256 begins like a version byte.
  for (let first = earlier[0]; first?.[0] !== 2; first = sealedEarlier("hush", "today's key"))
    earlier.push(first ?? Buffer.of());
  for (const sealed of earlier) {
    assert.equal(seal.open(sealed, place), "hush");
    const renewed = seal.renew(sealed, place);
    assert.ok(renewed instanceof Uint8Array);
    assert.equal(without.open(renewed, place), "hush");
    assert.equal(seal.renew(renewed, place), "current");
  }
  assert.equal(createSeal(old).renew(seal.seal("hush", place), place), undefined);
});

test("B14 every sealed column of the database is known", async (t) => {
  const server = await startTestServer(t);
  const columns = await server.database<{ table: string; column: string }[]>`
    select table_name as table, column_name as column from information_schema.columns
    where table_schema = 'public' and column_name like '%sealed%' and data_type = 'bytea'`;
  assert.equal(columns.length, SEALED_COLUMNS.length, JSON.stringify(columns));
});

/** A kept answer with a token and a gateway with one, made under a first key. */
async function sealedThings(t: TestContext) {
  const server = await startTestServer(t, { environment: { MUSTER_SECRET_KEY: "the first secret key" } });
  const owner = await server.wire();
  const { gateway } = await owner.call("gateway.create", { name: "Kept", kind: "direct", token: "hush" });
  const { board } = await owner.call("board.create", { name: "B", gateway_id: gateway.id });
  const params = { name: "Kept", board_id: board.id, idempotency_key: "k" };
  const created = await owner.call("agent.create", params);
  const repeat = async () => (await server.wire()).call("agent.create", params);
  return { server, gateway, created, repeat };
}

const sealedWith = async (server: TestServer) => readSetting(server.database, "sealed_with");

test("B14 MUSTER_SECRET_KEY_OLD opens and seals anew; then it is not needed any more", async (t) => {
  const { server, created, repeat } = await sealedThings(t);
  await until(() => sealedWith(server), { what: "the first start to find nothing" });
  const before = await sealedWith(server);
  await server.restart({
    MUSTER_SECRET_KEY: "the second secret key",
    MUSTER_SECRET_KEY_OLD: "the first secret key",
  });
  assert.deepEqual(await repeat(), created);
  await until(async () => (await sealedWith(server)) !== before, { what: "everything to be sealed anew" });
  await server.restart({ MUSTER_SECRET_KEY_OLD: "" });
  assert.deepEqual(await repeat(), created);
});

/** Runs a pass over all sealed columns, and returns what was logged. */
async function reseal(
  server: TestServer,
  keys: Keys,
  old?: Keys,
): Promise<{ msg: string; names?: string[]; count?: number }[]> {
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(...String(chunk).trim().split("\n"));
      done();
    },
  });
  const log = createLog("info", stream);
  const { database } = server;
  const end = startResealing({
    database,
    seal: createSeal(keys, old),
    keys,
    hasOldKey: old !== undefined,
    log,
  });
  await until(() => lines.some((line) => /not needed|cannot be read/.test(line)) || undefined, {
    what: "the pass to say what came of it",
  });
  await end();
  return lines.map((line) => JSON.parse(line));
}

test("B14 what no key opens is told by name at each start, and stays as it is", async (t) => {
  const { server, gateway } = await sealedThings(t);
  await server.stop();
  const salt = await readSalt(server.database);
  const other = await deriveKeys("another secret key", salt);
  const first = await deriveKeys("the first secret key", salt);
  const rows = () => server.database`
    select (select token_sealed from gateways where id = ${gateway.id}), (select answer_sealed from idempotency where method = 'agent.create')`;
  const before = await rows();
  for (let round = 0; round < 2; round++) {
    const told = await reseal(server, other);
    const line = told.find(({ msg }) => /tokens of gateways cannot be read/.test(msg));
    assert.deepEqual(line?.names, ["Kept"]);
    assert.match(line?.msg ?? "", /MUSTER_SECRET_KEY_OLD/);
    assert.ok(!JSON.stringify(told).includes("hush"));
  }
  assert.deepEqual(await rows(), before);
  const told = await reseal(server, other, first);
  assert.ok(
    told.some(({ msg }) => /MUSTER_SECRET_KEY_OLD is not needed any more/.test(msg)),
    JSON.stringify(told),
  );
  const [after] = await rows();
  assert.equal(
    createSeal(other).open(
      after?.token_sealed,
      gatewayTokenPlace({ id: gateway.id, organizationId: server.organization.id }),
    ),
    "hush",
  );
});

test("B14 many rows are sealed anew slice by slice, in every column", async (t) => {
  const server = await startTestServer(t);
  const { id: organizationId } = server.organization;
  await server.stop();
  const { database } = server;
  const old = await deriveKeys("the key of before", await readSalt(database));
  const present = await deriveKeys("today's secret key", await readSalt(database));
  const kept = Array.from({ length: 450 }, (_, n) => ({
    organizationId,
    principalId: OTHER,
    method: "agent.create",
    key: `key ${n}`,
  }));
  for (const [n, of] of kept.entries())
    await database`
      insert into idempotency ${database({
        organization_id: of.organizationId,
        principal_id: of.principalId,
        method: of.method,
        key: of.key,
        request_hash: Buffer.of(1),
        answer_sealed:
          n % 2 === 0
            ? sealedEarlier(`answer ${n}`, "the key of before")
            : createSeal(old).seal(`answer ${n}`, keptAnswerPlace(of)),
        created_at: new Date(),
      })}`;
  await reseal(server, present, old);
  const seal = createSeal(present);
  const rows = await database<
    { key: string; answer_sealed: Uint8Array }[]
  >`select key, answer_sealed from idempotency`;
  assert.equal(rows.length, 450);
  for (const { key, answer_sealed } of rows)
    assert.equal(
      seal.open(
        answer_sealed,
        keptAnswerPlace({ organizationId, principalId: OTHER, method: "agent.create", key }),
      ),
      `answer ${key.slice(4)}`,
    );
});
