import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import type { WebSocket } from "ws";
import { ConfigError, readConfig } from "../../src/config.ts";
import type { Transport } from "../../src/edge/transport.ts";
import { Networks } from "../../src/networks.ts";
import { until } from "../support/await.ts";
import { closing, dial, ignore, open, refused, start, startEcho } from "../support/dial.ts";

const MOST_OF_AN_ADDRESS = 64;
const strangersBehind = new Networks(["127.0.0.1"]);
const from = (address: string) => ({ headers: { "x-forwarded-for": address } });
const isOpen = (socket: WebSocket) => socket.readyState === socket.OPEN;

/** Opens so many, one after the other, so that their order is known. */
async function openMany(count: number, each: () => Promise<WebSocket>) {
  const sockets: WebSocket[] = [];
  while (sockets.length < count) sockets.push(await each());
  return sockets;
}

test("at the bound of an address the oldest socket that has sent nothing makes room for the newest", async (t) => {
  const listener = await start(t, { strangersBehind });
  const sockets = await openMany(MOST_OF_AN_ADDRESS, () => open(t, listener));
  sockets[0]?.send("{}");
  sockets[2]?.send("{}");
  const ends = [1, 3].map((index) => closing(sockets[index] as WebSocket));
  const newest = [await open(t, listener), await open(t, listener)];
  for (const { code, reason } of await Promise.all(ends)) {
    assert.equal(code, 4029);
    assert.match(reason, /without a good token/);
  }
  assert.equal(sockets.filter(isOpen).length, MOST_OF_AN_ADDRESS - 2);
  assert.ok(newest.every(isOpen));
});

test("where all have sent something the oldest of them goes", async (t) => {
  const listener = await start(t, { strangersBehind });
  const sockets = await openMany(MOST_OF_AN_ADDRESS, async () => {
    const socket = await open(t, listener);
    socket.send("{}");
    return socket;
  });
  const end = closing(sockets[0] as WebSocket);
  const newest = await open(t, listener);
  assert.equal((await end).code, 4029);
  assert.ok(isOpen(newest) && sockets.slice(1).every(isOpen));
});

test("who has shown a good token counts no more", async (t) => {
  const listener = await start(t, {
    strangersBehind,
    open: (transport) => ({ ...ignore, message: () => transport.admitted() }),
  });
  const members = await openMany(2 * MOST_OF_AN_ADDRESS, async () => {
    const socket = await open(t, listener);
    socket.send("hello");
    return socket;
  });
  const strangers = await openMany(MOST_OF_AN_ADDRESS + 3, () => open(t, listener));
  await until(() => strangers.filter(isOpen).length === MOST_OF_AN_ADDRESS, { what: "three to be closed" });
  assert.ok(members.every(isOpen));
});

test("many that come at once each get the time to speak, and all of them come in", async (t) => {
  const spoken = new Set<Transport>();
  const listener = await start(t, {
    strangersBehind,
    open: (transport) => ({
      ...ignore,
      message() {
        spoken.add(transport);
        transport.admitted();
      },
    }),
  });
  const herd = Array.from({ length: 1_000 }, () => dial(t, listener));
  for (const socket of herd) socket.on("open", () => socket.send("hello"));
  await until(() => spoken.size === herd.length, { what: "all of the herd to be heard" });
  assert.ok(herd.every(isOpen));
});

test("an address behind a trusted proxy has its own bound, one that is made up has not", async (t) => {
  const listener = await start(t, { strangersBehind });
  const ours = await openMany(MOST_OF_AN_ADDRESS, () => open(t, listener, from("192.0.2.1")));
  await open(t, listener, from("192.0.2.2"));
  // What stands left of the last entry that is no proxy's was said by the peer itself.
  await open(t, listener, from("192.0.2.1, 192.0.2.3, 127.0.0.1"));
  assert.ok(ours.every(isOpen));
  const end = closing(ours[0] as WebSocket);
  await open(t, listener, from("198.51.100.7, 192.0.2.1"));
  assert.equal((await end).code, 4029);
  const direct = await start(t, { strangersBehind: new Networks([]) });
  const theirs = await openMany(MOST_OF_AN_ADDRESS, () => open(t, direct, from(`192.0.2.${Math.random()}`)));
  const first = closing(theirs[0] as WebSocket);
  await open(t, direct, from("203.0.113.1"));
  await first;
});

test("a proxy that is no address is named and stops the start", () => {
  for (const given of ["nginx", "10.0.0.0/33", "10.0.0.1/8/8", "fe80::1%eth0", "10.0.0.0/ 8", "::1, *"])
    assert.throws(
      () => readConfig({ MUSTER_TRUSTED_PROXIES: given }),
      (error) =>
        error instanceof ConfigError &&
        /^MUSTER_TRUSTED_PROXIES: .+ is neither an address/.test(error.message),
      given,
    );
  const { trustedProxies } = readConfig({ MUSTER_TRUSTED_PROXIES: "10.0.0.0/8, ::1" });
  assert.deepEqual(
    ["10.255.0.1", "11.0.0.1", "::1", "::2", "::ffff:10.0.0.1", "no address"].map((each) =>
      trustedProxies?.has(each),
    ),
    [true, false, true, false, true, false],
  );
});

test("an IPv6 network counts as one address", async (t) => {
  const listener = await start(t, { strangersBehind });
  let last = 0;
  const next = () => open(t, listener, from(`[2001:db8::${(last++).toString(16)}]:443`));
  const sockets = await openMany(MOST_OF_AN_ADDRESS, next);
  await open(t, listener, from("2001:db8:0:1::1"));
  assert.ok(sockets.every(isOpen));
  const end = closing(sockets[0] as WebSocket);
  await open(t, listener, from("2001:0db8:0000:0000:ffff::"));
  assert.equal((await end).code, 4029);
});

test("all strangers together have a bound, whatever addresses they come from", async (t) => {
  // As large as frames are in earnest: what each of them can make the server hold decides how many there may be.
  const listener = await start(t, { strangersBehind, maxFrameBytes: 1_048_576 });
  let address = 0;
  const sockets = await openMany(300, () =>
    open(t, listener, from(`10.0.${address++ >> 8}.${address & 255}`)),
  );
  await until(() => sockets.filter(isOpen).length < 200, { what: "the oldest to be closed" });
  assert.ok(sockets.slice(-100).every(isOpen));
});

test("an upgrade that waits and is given up takes no place", async (t) => {
  const listener = await start(t, { strangersBehind });
  const herd = Array.from({ length: MOST_OF_AN_ADDRESS }, () => dial(t, listener));
  await Promise.all(herd.map((socket) => once(socket, "open")));
  for (let i = 0; i < 50; i++) dial(t, listener).terminate();
  const late = await open(t, listener);
  await until(() => herd.filter(isOpen).length <= MOST_OF_AN_ADDRESS - 1, { what: "one to go" });
  assert.ok(isOpen(late));
});

test("upgrades that wait when the listener ends are refused", async (t) => {
  const listener = await start(t, { strangersBehind });
  await Promise.all(Array.from({ length: MOST_OF_AN_ADDRESS }, () => open(t, listener)));
  const waiting = dial(t, listener);
  const refusal = Promise.race([refused(waiting), once(waiting, "close")]);
  await once(waiting, "upgrade").catch(() => {});
  await listener.close();
  await refusal;
});

test("more pings than anybody needs end the socket", async (t) => {
  const listener = await start(t);
  const socket = await open(t, listener);
  const end = closing(socket);
  for (let i = 0; i < 2_000; i++) socket.ping();
  // The stand-in's own library ends it at once.
  assert.ok([4029, 1006].includes((await end).code));
});

test("pongs that are not read count like everything else that is not", async (t) => {
  const maxBufferedBytes = 200_000;
  const { listener, transports } = await startEcho(t, { maxBufferedBytes });
  const socket = await open(t, listener);
  socket.pause();
  const [transport] = transports;
  const waiting = () => transport?.bufferedBytes ?? 0;
  const full = maxBufferedBytes - 3_000;
  for (let tries = 0; transport?.isOpen && tries < 20; tries++) {
    // The kernel may take some more now and then.
    for (; waiting() < full; await new Promise(setImmediate))
      transport.send("x".repeat(Math.min(full - waiting(), 5_000)));
    assert.ok(transport.isOpen);
    for (let i = 0; i < 40; i++) socket.ping("x".repeat(120));
    await until(() => !transport.isOpen, { what: "the socket to be closed", timeoutMs: 300 }).catch(() => {});
  }
  assert.equal(transport?.isOpen, false);
  socket.resume();
  assert.equal((await closing(socket)).code, 4013);
});

test("who answers no ping and sends nothing whole is closed, however many bytes trickle", {
  timeout: 60_000,
}, async (t) => {
  const listener = await start(t, { idleTimeoutS: 8 });
  const trickling = await open(t, listener);
  const silent = await open(t, listener);
  const answering = await open(t, listener);
  for (const socket of [trickling, silent]) socket.pong = () => {};
  // A frame of which a byte comes now and then.
  const raw = trickling as unknown as { _socket: import("node:net").Socket };
  raw._socket.write(Buffer.from([0x81, 0xfe, 0x03, 0x00, 0, 0, 0, 0]));
  const trickle = setInterval(() => raw._socket.write("x"), 200);
  t.after(() => clearInterval(trickle));
  await Promise.all([closing(trickling), closing(silent)]);
  assert.ok(isOpen(answering));
});
