import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { WebSocketServer } from "ws";
import { ackReader, beatRound } from "../src/cli/load/beats.ts";
import { clientFrame, FrameReader, OPCODE } from "../src/cli/load/frames.ts";
import { Lane } from "../src/cli/load/lane.ts";
import { LeanSocket } from "../src/cli/load/lean-socket.ts";
import { measure } from "../src/cli/load/measure.ts";
import { ClosedLoop, OpenLoop } from "../src/cli/load/pacing.ts";
import { Recorder } from "../src/cli/load/recorder.ts";
import { FIRST_NUMBER } from "../src/cli/load/round.ts";
import { jsonCodec, msgpackCodec } from "../src/protocol/codec.ts";

/** A server's frame: a client's without its mask. */
function serverFrame(opcode: number, payload: string): Buffer {
  const frame = clientFrame(opcode, Buffer.from(payload));
  const maskAt = frame.length - Buffer.byteLength(payload) - 4;
  frame[1] = (frame[1] ?? 0) & 0x7f;
  return Buffer.concat([frame.subarray(0, maskAt), frame.subarray(maskAt + 4)]);
}

test("frames are found wherever what arrives is cut", () => {
  const short = ["", "a", "b".repeat(125), "c".repeat(126), "d"];
  const long = ["e".repeat(65_535), "f".repeat(65_536), "g"];
  for (const [width, texts] of [
    [1, short],
    [2, short],
    [3, short],
    [7, short],
    [4_096, [...short, ...long]],
    [200_000, [...short, ...long]],
  ] as const) {
    const stream = Buffer.concat(texts.map((text) => serverFrame(OPCODE.text, text)));
    const found: string[] = [];
    const reader = new FrameReader((_, bytes, start, end) => found.push(bytes.toString("utf8", start, end)));
    // As a socket reads: into one buffer, again and again.
    const buffer = Buffer.alloc(width);
    for (let at = 0; at < stream.length; at += width)
      reader.push(buffer, stream.copy(buffer, 0, at, Math.min(stream.length, at + width)));
    assert.ok(found.join() === texts.join(), `in parts of ${width}`);
  }
  const reader = new FrameReader(() => {});
  for (const wrong of [clientFrame(OPCODE.text, Buffer.from("masked")), Buffer.from([0x01, 0x00])])
    assert.throws(() => reader.push(wrong, wrong.length));
});

test("heartbeats are written into frames that were encoded once, and acknowledgements read by their bytes", () => {
  for (const codec of [jsonCodec, msgpackCodec])
    for (const batch of [false, true]) {
      const chs = [0, 7, 300];
      const round = beatRound(codec, chs, batch);
      assert.equal(round.length, batch ? 1 : 3);
      for (const number of [FIRST_NUMBER, FIRST_NUMBER + 999, 4_294_967_290]) {
        const bytes = round.numbered(0, round.length, number);
        const messages: unknown[] = [];
        let at = 0;
        while (at < bytes.length) {
          const size = (bytes[at + 1] ?? 0) & 0x7f;
          assert.ok(size < 126, "a short frame");
          const payload = bytes.subarray(at + 6, at + 6 + size);
          messages.push(codec.decode(codec.binary ? payload : payload.toString()));
          at += 6 + size;
        }
        const jsonrpc = codec.binary ? {} : { jsonrpc: "2.0" };
        const many = codec.binary ? Buffer.from(Uint32Array.from(chs).buffer) : chs;
        const expected = batch
          ? [{ ...jsonrpc, method: "heartbeats", params: { n: number, chs: many } }]
          : chs.map((ch, i) => ({ ...jsonrpc, method: "heartbeat", params: { n: number + i, ch } }));
        assert.deepEqual(JSON.stringify(messages), JSON.stringify(expected));
      }
      const read = ackReader(codec);
      const ack = (method: string, n: number) => Buffer.from(codec.encode({ method, params: { n } }));
      const there = Buffer.concat([Buffer.alloc(3), ack("ack", FIRST_NUMBER + 17), Buffer.alloc(3)]);
      assert.equal(read(there, 3, there.length - 3), FIRST_NUMBER + 17);
      for (const other of [ack("ack", 1), ack("abc", FIRST_NUMBER)])
        assert.ok(Number.isNaN(read(other, 0, other.length)));
    }
});

/** A server that answers each heartbeat as `answer` says, and lanes connected to it. */
async function lanesTo(
  t: TestContext,
  count: number,
  answer: (n: number, acknowledge: (n: number) => void) => void,
) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  t.after(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  server.on("connection", (socket) =>
    socket.on("message", (data) =>
      answer(JSON.parse(data.toString()).params.n, (n) =>
        socket.send(String(jsonCodec.encode({ method: "ack", params: { n } }))),
      ),
    ),
  );
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const read = ackReader(jsonCodec);
  return Promise.all(
    Array.from({ length: count }, async (_, position) => {
      const lane = new Lane(position, 1);
      await new Promise<void>((opened) => {
        const socket = new LeanSocket(`ws://127.0.0.1:${port}/`, "", {
          open() {
            lane.opened(socket, beatRound(jsonCodec, [0, 1, 2], false));
            opened();
          },
          peek(bytes, start, end) {
            lane.acknowledgedUpTo(read(bytes, start, end));
            return true;
          },
          message() {},
          alive() {},
          close: () => lane.closed(),
        });
        t.after(() => socket.abort());
      });
      return lane;
    }),
  );
}

test("an acknowledgement covers every heartbeat up to its number, and only then the next round goes out", async (t) => {
  const recorder = new Recorder();
  const pacing = new ClosedLoop(recorder);
  const received: number[] = [];
  const lanes = await lanesTo(t, 1, (n, acknowledge) => {
    received.push(n - FIRST_NUMBER);
    // The third of each round, for all three.
    if (received.length % 3 === 0) acknowledge(n);
  });
  const { seconds } = await measure(lanes, pacing, recorder, { warmUpMs: 0, durationMs: 100 });
  assert.ok(seconds > 0.09 && recorder.acked > 0 && recorder.acked % 3 === 0);
  assert.deepEqual(
    received,
    received.map((_, position) => position),
  );
  assert.equal(recorder.lost, 0);
});

test("a server that stands still is charged for all that should have been sent meanwhile", async (t) => {
  const recorder = new Recorder();
  const pacing = new OpenLoop(recorder, 1_000);
  const STILL_MS = 400;
  let stillUntil = 0;
  const lanes = await lanesTo(t, 2, (n, acknowledge) => {
    stillUntil ||= performance.now() + STILL_MS;
    setTimeout(() => acknowledge(n), Math.max(0, stillUntil - performance.now()));
  });
  await measure(lanes, pacing, recorder, { warmUpMs: 0, durationMs: 800 });
  const { p50, max } = recorder.latencies();
  // Half of the time it stood still, so half of the heartbeats waited, from nothing to all of that.
  assert.ok(max !== null && max >= STILL_MS - 10, `${max}`);
  assert.ok(p50 !== null && p50 > 1 && p50 < STILL_MS, `${p50}`);
  assert.equal(recorder.lost, 0);
});

test("what is never acknowledged is lost", async (t) => {
  const recorder = new Recorder();
  const pacing = new ClosedLoop(recorder);
  const stop = new AbortController();
  const lanes = await lanesTo(t, 2, () => stop.abort());
  await measure(lanes, pacing, recorder, { warmUpMs: 0, durationMs: 60_000, stop: stop.signal });
  assert.deepEqual([recorder.acked, recorder.lost], [0, 6]);
  assert.equal(recorder.latencies().p50, null);
});
