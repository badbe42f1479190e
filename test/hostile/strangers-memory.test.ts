import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { until } from "../support/await.ts";
import { folder, Muster } from "../support/muster-process.ts";
import { frameHead, RawPeer } from "../support/raw-peer.ts";
import { Wire } from "../support/wire.ts";

const MIB = 1_048_576;
/** What the server may take more for itself meanwhile, as for garbage. */
const SLACK = 60 * MIB;
/** What a hundred unfinished frames would be; newer versions of Node collect the first of a frame's bytes late. */
const HUNDRED_FRAMES = 400 * MIB;

/** A server of its own process, an agent's or a user's session on it, and its memory. */
async function serving(t: TestContext, environment: Record<string, string>) {
  const data = folder(t);
  const muster = new Muster(t, ["serve", "--empty"], { PORT: "0", MUSTER_DATA_DIR: data, ...environment });
  await muster.says(/look next/);
  const { url, token } = JSON.parse(await readFile(join(data, "credentials.json"), "utf8"));
  const wire = await Wire.open({ url });
  t.after(async () => {
    wire.end();
    muster.child.kill("SIGTERM");
    await muster.done();
  });
  await wire.hello(token);
  const status = () => readFileSync(`/proc/${muster.child.pid}/status`, "utf8");
  const rss = () => Number(/VmRSS:\s+(\d+)/.exec(status())?.[1]) * 1_024;
  /** How far memory rises while the work is done. */
  const growth = async (work: () => Promise<unknown>) => {
    const before = rss();
    let most = before;
    const look = setInterval(() => {
      most = Math.max(most, rss());
    }, 20);
    await work();
    clearInterval(look);
    await wire.call("organization.get");
    return Math.max(most, rss()) - before;
  };
  return { url, growth };
}

for (const { name, environment } of [
  { name: "native", environment: {} },
  { name: "emulated", environment: { UWS_USE_FALLBACK: "1" } },
] as const)
  test(`what a stranger can make the server hold (${name})`, { timeout: 120_000 }, async (t) => {
    const { url, growth } = await serving(t, { ...environment, MUSTER_TRUSTED_PROXIES: "127.0.0.1" });

    await t.test("600 MB of pings that are never answered for", async (t) => {
      const peer = await RawPeer.upgraded(t, url);
      peer.socket.pause();
      const pings = Buffer.concat(
        Array.from({ length: 8_000 }, () => Buffer.concat([frameHead("ping", 125), Buffer.alloc(125, "x")])),
      );
      const grown = await growth(async () => {
        for (let sent = 0; sent < 600 * MIB && !peer.isClosed; sent += pings.length) await peer.send(pings);
      });
      assert.ok(grown < SLACK, `${Math.round(grown / MIB)} MiB`);
      peer.socket.resume();
      await until(() => peer.isClosed, { what: "the socket to be closed" });
    });

    await t.test("answers to requests, one behind the other, that are never read", async (t) => {
      const host = new URL(url).host;
      for (const asked of ["GET /healthz", "GET /none", "POST /healthz", "GET /v1/socket", "HEAD /healthz"]) {
        const peer = await RawPeer.connect(t, url);
        peer.socket.pause();
        const requests = `${asked} HTTP/1.1\r\nhost: ${host}\r\n\r\n`.repeat(2_000);
        const grown = await growth(async () => {
          for (let sent = 0; sent < 24 * MIB && !peer.isClosed; sent += requests.length)
            await peer.send(requests);
        });
        assert.ok(grown < SLACK, `${asked}: ${Math.round(grown / MIB)} MiB`);
        peer.socket.destroy();
      }
    });

    await t.test("a hundred frames of 4 MiB that never end", async (t) => {
      const grown = await growth(async () => {
        for (let i = 0; i < 100; i++) {
          const peer = await RawPeer.upgraded(t, url);
          await peer.send(frameHead("text", 4 * MIB));
          for (let sent = 0; sent < 3 && !peer.isClosed; sent++) await peer.send(Buffer.alloc(MIB, "x"));
        }
      });
      assert.ok(grown < HUNDRED_FRAMES / 4, `${Math.round(grown / MIB)} MiB`);
    });

    await t.test("frames and fragments just below the limit that never end, of one address", async (t) => {
      const peers: RawPeer[] = [];
      const grown = await growth(async () => {
        for (let i = 0; i < 300; i++) {
          const peer = await RawPeer.upgraded(t, url);
          peers.push(peer);
          if (i % 2 === 0) {
            await peer.send(frameHead("text", MIB));
            await peer.send(Buffer.alloc(MIB - 1, "x"));
          } else
            for (let part = 0; part < 16; part++) {
              await peer.send(frameHead(part === 0 ? "text" : "continuation", MIB / 16, { fin: false }));
              await peer.send(Buffer.alloc(MIB / 16, "x"));
            }
        }
      });
      // Those of the address, and those that were closed with a word and may still be there.
      assert.ok(grown < (64 + 56) * MIB + SLACK, `${Math.round(grown / MIB)} MiB`);
      // None of them has said hello, and the bytes that come are none.
      for (const peer of peers) peer.socket.write("x");
      await until(() => peers.every((peer) => peer.isClosed), {
        what: "all to be closed",
        timeoutMs: 25_000,
      });
    });

    await t.test("the same of many addresses", async (t) => {
      const grown = await growth(async () => {
        for (let i = 0; i < 600; i++) {
          const peer = await RawPeer.upgraded(t, url, { "x-forwarded-for": `10.1.${i >> 8}.${i & 255}` });
          await peer.send(frameHead("text", MIB));
          await peer.send(Buffer.alloc(MIB - 1, "x"));
        }
      });
      assert.ok(grown < 256 * MIB + SLACK, `${Math.round(grown / MIB)} MiB`);
    });
  });
