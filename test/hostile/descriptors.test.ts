import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { get } from "node:http";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { until } from "../support/await.ts";
import { folder, Muster } from "../support/muster-process.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { Wire } from "../support/wire.ts";

const LIMIT = 256;
const STRANGERS = 300;
/** Clock ticks of a second, as /proc counts processor time. */
const TICKS_A_SECOND = 100;

/** A server that may have few descriptors, with an agent on it that beats and a user who asks. */
async function serving(t: TestContext, environment: Record<string, string>) {
  const data = folder(t);
  const muster = new Muster(
    t,
    ["serve", "--empty"],
    { PORT: "0", MUSTER_DATA_DIR: data, ...environment },
    { descriptors: LIMIT },
  );
  await muster.says(/look next/);
  const { url, token } = JSON.parse(await readFile(join(data, "credentials.json"), "utf8"));
  const owner = await Wire.open({ url });
  await owner.hello(token);
  const { gateway } = await owner.call("gateway.create", { name: "Workers", kind: "direct" });
  const { board } = await owner.call("board.create", { name: "Board", gateway_id: gateway.id });
  const created = await owner.call("agent.create", { name: "Ada", board_id: board.id });
  const agent = await Wire.open({ url });
  await agent.hello(created.token);
  t.after(() => {
    for (const wire of [owner, agent]) wire.end();
  });
  const stat = () => readFileSync(`/proc/${muster.child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  let n = 0;
  return {
    muster,
    url,
    owner,
    token: token as string,
    used: () => readdirSync(`/proc/${muster.child.pid}/fd`).length,
    cpuSeconds: () => (Number(stat()[11]) + Number(stat()[12])) / TICKS_A_SECOND,
    /** The agent beats and is acknowledged, and Postgres is asked. */
    async works() {
      n += 1;
      agent.notify("heartbeat", { n });
      await agent.next(`ack ${n}`, ({ method, params }) => method === "ack" && params.n >= n);
      await owner.call("agent.list");
      await owner.call("board.list");
    },
  };
}

/** Whether it answers on a connection of its own. */
const serves = (url: string) =>
  new Promise<boolean>((resolve) => {
    const request = get(`${url}/healthz`, { agent: false, timeout: 1_000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(false));
  });

for (const { name, environment } of [
  { name: "native", environment: {} },
  { name: "emulated", environment: { UWS_USE_FALLBACK: "1" } },
] as const)
  test(`a server near its descriptor limit serves who is there (${name})`, {
    timeout: 120_000,
  }, async (t) => {
    const server = await serving(t, environment);
    assert.match(server.muster.out, new RegExp(`only ${LIMIT} descriptors.*ulimit -n`));
    for (const kind of ["sockets that never say hello", "connections that never send anything"] as const)
      await t.test(kind, async (t) => {
        const begin = () =>
          kind.startsWith("sockets") ? RawPeer.upgraded(t, server.url) : RawPeer.connect(t, server.url);
        const before = server.cpuSeconds();
        const beganAt = performance.now();
        const all = Array.from({ length: STRANGERS }, begin);
        for (let round = 0; round < 40; round++) {
          await server.works();
          // After the first moments some are left for files and Postgres.
          if (round > 5) assert.ok(server.used() <= LIMIT - 8, `${server.used()} are used`);
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        const seconds = (performance.now() - beganAt) / 1_000;
        const busy = (server.cpuSeconds() - before) / seconds;
        assert.ok(busy < 0.8, `busy for ${Math.round(busy * 100)} % of the time`);
        // Strangers time out, if nothing else makes room: after half a minute with the newest library.
        await until(() => serves(server.url), { what: "the server to be reached", timeoutMs: 60_000 });
        for (const peer of await Promise.all(all)) peer.socket.destroy();
        await until(() => serves(server.url), { what: "the server to be reached again" });
        const wire = await Wire.open({ url: server.url });
        await wire.hello(server.token);
        wire.end();
        await server.works();
      });
    server.muster.child.kill("SIGTERM");
    const { code, err } = await server.muster.done();
    assert.deepEqual([code, err], [0, ""]);
  });
