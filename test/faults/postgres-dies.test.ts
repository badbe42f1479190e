import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readConfig } from "../../src/config.ts";
import { firstStart } from "../../src/first-start.ts";
import { createLog } from "../../src/log.ts";
import { startServer } from "../../src/server.ts";
import { keepEmbedded } from "../../src/store/kept-postgres.ts";
import { until } from "../support/await.ts";
import { Wire } from "../support/wire.ts";

const newFolder = () => mkdtemp(join(tmpdir(), "muster-dies-"));
const remove = (folder: string) => rm(folder, { recursive: true, force: true });

const postmaster = async (dataDir: string) =>
  Number.parseInt(await readFile(join(dataDir, "postgres", "postmaster.pid"), "utf8"), 10);

test("kill -9 of the embedded Postgres under a running server: it is started again, and the same sessions go on", async (t) => {
  const dataDir = await newFolder();
  const config = readConfig({ PORT: "0", LOG_LEVEL: "silent", MUSTER_DATA_DIR: dataDir });
  const server = await startServer(config, createLog(config.logLevel));
  const wires: Wire[] = [];
  t.after(async () => {
    for (const wire of wires) wire.end();
    await server.stop();
    await remove(dataDir);
  });
  await firstStart(server.services, server.url, true);
  const { token } = JSON.parse(await readFile(join(dataDir, "credentials.json"), "utf8"));
  const connect = async (token: string) => {
    const wire = await Wire.open({ url: server.url });
    wires.push(wire);
    await wire.hello(token);
    return wire;
  };
  const owner = await connect(token);
  const { gateway } = await owner.call("gateway.create", { name: "Themselves", kind: "direct" });
  const { board } = await owner.call("board.create", { name: "Harbour", gateway_id: gateway.id });
  const created = await owner.call("agent.create", { name: "Ada", board_id: board.id });
  const ada = await connect(created.token);
  const isReady = async () => (await fetch(`${server.url}/readyz`)).status === 200;
  for (let round = 1; round <= 2; round += 1) {
    const pid = await postmaster(dataDir);
    process.kill(pid, "SIGKILL");
    await until(async () => !(await isReady()), { what: "the server to notice" });
    ada.notify("heartbeat", { n: round });
    await ada.next("the ack", (m) => m.method === "ack" && m.params.n === round);
    await until(isReady, { what: "the server to be ready again" });
    assert.notEqual(await postmaster(dataDir), pid);
    const { agent } = await owner.call("agent.get", { agent_id: created.agent.id });
    assert.equal(agent.status, "online");
  }
});

test("an embedded Postgres that is stopped while it is being brought back stays stopped", async (t) => {
  const dataDir = await newFolder();
  t.after(() => remove(dataDir));
  const postgres = await keepEmbedded({ dataDir, log: createLog("silent") });
  const { pid } = postgres;
  process.kill(pid, "SIGKILL");
  await until(() => postgres.pid !== pid, { what: "its return" });
  const again = postgres.pid;
  process.kill(again, "SIGKILL");
  await postgres.stop();
  // Whoever comes next finds the data folder free.
  const next = await keepEmbedded({ dataDir, log: createLog("silent") });
  await next.stop();
});
