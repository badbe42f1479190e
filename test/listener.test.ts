import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import type { WebSocket } from "ws";
import type { Transport } from "../src/edge/transport.ts";
import { uwsFlavor } from "../src/edge/uws.ts";
import { CLOSE } from "../src/protocol/close-codes.ts";
import { msgpackCodec } from "../src/protocol/codec.ts";

import { closing, dial, ignore, open, origins, received, refused, start, startEcho } from "./support/dial.ts";

test("a socket speaks JSON when it offers no subprotocol, else the first offered that is known", async (t) => {
  const { listener, transports } = await startEcho(t);
  const cases = [
    { protocols: [], chosen: "", codec: "json" },
    { protocols: ["muster.v1.json"], chosen: "muster.v1.json", codec: "json" },
    {
      protocols: ["other", "muster.v1.msgpack", "muster.v1.json"],
      chosen: "muster.v1.msgpack",
      codec: "msgpack",
    },
  ];
  for (const { protocols, chosen, codec } of cases) {
    const socket = await open(t, listener, { protocols });
    assert.equal(socket.protocol, chosen);
    assert.equal(transports.at(-1)?.codec.name, codec);
    const frame = codec === "json" ? '{"é":1}' : Buffer.from([0xc0]);
    socket.send(frame);
    assert.deepEqual(await received(socket), frame);
  }
});

test("only unknown subprotocols are refused with 400", async (t) => {
  const listener = await start(t);
  const { status, body } = await refused(dial(t, listener, { protocols: ["muster.v2.json"] }));
  assert.equal(status, 400);
  assert.match(JSON.parse(body).detail, /muster\.v1\.json/);
});

test("a page's origin must be the server's own or a listed one", async (t) => {
  const listener = await start(t, { allowedOrigins: origins("https://dash.example.com") });
  const own = `http://127.0.0.1:${listener.port}`;
  for (const origin of [own, own.replace("http:", "https:"), "https://dash.example.com"])
    await open(t, listener, { headers: { origin } });
  for (const origin of [
    "https://evil.example.com",
    "null",
    `${own}.evil.com`,
    "https://dash.example.com:8443",
  ]) {
    const { status } = await refused(dial(t, listener, { headers: { origin } }));
    assert.equal(status, 403, origin);
  }
});

test("the session gets the bearer token of the upgrade, and only a bearer token", async (t) => {
  const seen: unknown[] = [];
  const listener = await start(t, {
    open: (_transport, upgrade) => {
      seen.push(upgrade);
      return ignore;
    },
  });
  await open(t, listener);
  await open(t, listener, { headers: { authorization: "Bearer abc" } });
  await open(t, listener, { headers: { authorization: "Basic abc" } });
  assert.deepEqual(seen, [{}, { bearer: "abc" }, {}]);
});

test("a frame of the wrong kind closes with 4400", async (t) => {
  const { listener, untilClosed } = await startEcho(t);
  const text = await open(t, listener);
  text.send(Buffer.from("{}"));
  assert.deepEqual(await closing(text), { code: 4400, reason: "bad frame" });
  const binary = await open(t, listener, { protocols: ["muster.v1.msgpack"] });
  binary.send("{}");
  assert.equal((await closing(binary)).code, 4400);
  assert.equal(await untilClosed(2), 2);
});

test("a frame at the limit passes, a larger one closes with 1009, a huge one ends the socket", async (t) => {
  const { listener, untilClosed } = await startEcho(t);
  const socket = await open(t, listener);
  socket.send("x".repeat(1_000));
  assert.equal((await received(socket)).length, 1_000);
  socket.send("x".repeat(1_001));
  assert.equal((await closing(socket)).code, 1009);
  const huge = await open(t, listener);
  huge.send("x".repeat(100_000));
  assert.ok([1006, 1009].includes((await closing(huge)).code));
  assert.equal(await untilClosed(2), 2);
});

test("text that is not UTF-8 ends its socket only", async (t) => {
  const { listener, untilClosed } = await startEcho(t);
  const good = await open(t, listener);
  const bad = await open(t, listener);
  bad.send(Buffer.from([0xff, 0xfe]), { binary: false });
  await closing(bad);
  assert.equal(await untilClosed(1), 1);
  good.send("{}");
  assert.equal(await received(good), "{}");
});

test("a binary frame's buffer is not needed after the call", async (t) => {
  const decoded: unknown[] = [];
  const listener = await start(t, {
    maxFrameBytes: 100_000,
    open: (transport) => ({
      ...ignore,
      message(frame) {
        decoded.push(msgpackCodec.decode(frame));
        transport.send(msgpackCodec.encode({ seen: decoded.length }));
      },
    }),
  });
  const socket = await open(t, listener, { protocols: ["muster.v1.msgpack"] });
  for (let i = 0; i < 20; i++) {
    socket.send(msgpackCodec.encode({ chs: new Uint8Array(2_000).fill(i) }));
    await received(socket);
  }
  for (const [i, value] of decoded.entries())
    assert.deepEqual(
      { chs: new Uint8Array((value as { chs: Uint8Array }).chs) },
      { chs: new Uint8Array(2_000).fill(i) },
    );
});

test("closing tells the peer why, the session once, and nothing works afterwards", async (t) => {
  const { listener, transports, untilClosed } = await startEcho(t);
  const socket = await open(t, listener);
  const transport = transports[0];
  assert.ok(transport?.isOpen);
  transport.send("last");
  transport.close(CLOSE.tokenRevoked);
  assert.equal(transport.isOpen, false);
  transport.send("after");
  transport.close(CLOSE.goingAway);
  transport.join("topic");
  transport.leave("topic");
  assert.equal(transport.bufferedBytes, 0);
  const messages: string[] = [];
  socket.on("message", (data) => messages.push(String(data)));
  assert.deepEqual(await closing(socket), { code: 4403, reason: "token revoked or expired" });
  assert.deepEqual(messages, ["last"]);
  assert.equal(await untilClosed(1), 1);
});

test("a session that closes its socket while it opens is told of the end", async (t) => {
  let closed = 0;
  const listener = await start(t, {
    open: (transport) => {
      transport.close(CLOSE.flooding);
      return {
        ...ignore,
        closed() {
          closed++;
        },
      };
    },
  });
  assert.equal((await closing(dial(t, listener))).code, 4029);
  assert.equal(closed, 1);
});

test("a connection that breaks without a word frees its session", async (t) => {
  const { listener, transports, untilClosed } = await startEcho(t);
  const socket = await open(t, listener);
  socket.terminate();
  assert.equal(await untilClosed(1), 1);
  assert.equal(transports[0]?.isOpen, false);
});

test("a session that throws costs its own frame only", async (t) => {
  const listener = await start(t, {
    open: (transport) => ({
      ...ignore,
      message(frame) {
        const text = Buffer.from(frame).toString();
        if (text === "bad") throw new Error("a bug");
        transport.send(text);
      },
    }),
  });
  const socket = await open(t, listener);
  socket.send("bad");
  socket.send("good");
  assert.equal(await received(socket), "good");
});

test("what is published reaches who has joined and not left, whole and in order", async (t) => {
  const { listener, transports } = await startEcho(t);
  const sockets = [await open(t, listener), await open(t, listener), await open(t, listener)];
  const got = sockets.map((): string[] => []);
  for (const [i, socket] of sockets.entries()) socket.on("message", (data) => got[i]?.push(String(data)));
  transports[0]?.join("a");
  transports[1]?.join("a");
  listener.publish("a", "1");
  listener.publish("b", "nobody");
  transports[1]?.send("2");
  transports[1]?.leave("a");
  listener.publish("a", "2");
  transports[0]?.send("3");
  for (const [i, transport] of transports.entries()) {
    transport.send("end");
    while (got[i]?.at(-1) !== "end") await once(sockets[i] as WebSocket, "message");
  }
  assert.deepEqual(got, [["1", "2", "3", "end"], ["1", "2", "end"], ["end"]]);
});

test("published binary frames arrive as binary", async (t) => {
  const { listener, transports } = await startEcho(t);
  const socket = await open(t, listener, { protocols: ["muster.v1.msgpack"] });
  transports[0]?.join("a");
  listener.publish("a", Buffer.from([0x01]));
  assert.deepEqual(await received(socket), Buffer.from([0x01]));
});

test("a slow reader is closed with 4013 whether it is sent to or published to", async (t) => {
  for (const way of ["send", "publish"]) {
    const { listener, transports, untilClosed } = await startEcho(t, { maxBufferedBytes: 100_000 });
    const socket = await open(t, listener);
    socket.pause();
    const transport = transports[0];
    transport?.join("a");
    const frame = "x".repeat(50_000);
    let most = 0;
    // The kernel's buffers take the first megabytes.
    for (let i = 0; i < 1_000 && transport?.isOpen; i++) {
      if (way === "send") transport.send(frame);
      else listener.publish("a", frame);
      most = Math.max(most, transport.bufferedBytes);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(transport?.isOpen, false, way);
    assert.ok(most < 300_000, `${way}: ${most}`);
    assert.equal(await untilClosed(1), 1);
    socket.resume();
    assert.equal((await closing(socket)).code, 4013);
  }
});

test("nothing is lost below the limit, and the session hears when the peer has read it", async (t) => {
  let drained = () => {};
  const hasDrained = new Promise<void>((resolve) => {
    drained = resolve;
  });
  let transport: Transport | undefined;
  const listener = await start(t, {
    maxBufferedBytes: 50_000_000,
    open: (opened) => {
      transport = opened;
      return {
        ...ignore,
        drained() {
          if (opened.bufferedBytes === 0) drained();
        },
      };
    },
  });
  const socket = await open(t, listener);
  socket.pause();
  transport?.join("a");
  let count = 0;
  for (; count < 400; count++) {
    const frame = `${count}:${"x".repeat(50_000)}`;
    if (count % 2) transport?.send(frame);
    else listener.publish("a", frame);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok((transport?.bufferedBytes ?? 0) > 1_000_000);
  const numbers: number[] = [];
  const all = new Promise<void>((resolve) => {
    socket.on("message", (data) => {
      numbers.push(Number(String(data).split(":")[0]));
      if (numbers.length === count) resolve();
    });
  });
  socket.resume();
  await Promise.all([all, hasDrained]);
  assert.deepEqual(numbers, [...Array(count).keys()]);
});

test("a port that is taken is an error that names it and says what to do", async (t) => {
  const { port } = await start(t);
  await assert.rejects(start(t, { port }), (error: Error) => {
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}`));
    assert.match(error.message, /PORT/);
    return true;
  });
});

test("who listens no more refuses new connections and keeps the old", async (t) => {
  const { listener } = await startEcho(t);
  const socket = await open(t, listener);
  listener.stopAccepting();
  listener.stopAccepting();
  const [error] = await once(dial(t, listener), "error");
  assert.equal(error.code, "ECONNREFUSED");
  socket.send("{}");
  assert.equal(await received(socket), "{}");
});

test("closing the listener says 1001 to everyone and leaves nothing open", { timeout: 5_000 }, async (t) => {
  const { listener, untilClosed } = await startEcho(t);
  const sockets = [await open(t, listener), await open(t, listener)];
  const raw = connect(listener.port, "127.0.0.1");
  await once(raw, "connect");
  const ends = sockets.map(closing);
  const rawEnd = once(raw, "close");
  await listener.close();
  for (const { code } of await Promise.all(ends)) assert.equal(code, 1001);
  assert.equal(await untilClosed(2), 2);
  await rawEnd;
  listener.publish("a", "nobody is there");
  await listener.close();
});

test("the implementation in use names itself", () => {
  assert.match(uwsFlavor.version, /^\d+\.\d+\.\d+/);
  assert.notEqual(uwsFlavor.package, "");
});
