import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readJsonBeat, readPackedBeat } from "../src/protocol/bare-beat.ts";
import { type Codec, jsonCodec, msgpackCodec } from "../src/protocol/codec.ts";
import { seedOf } from "./support/seed.ts";

const READERS = [
  [jsonCodec, readJsonBeat],
  [msgpackCodec, readPackedBeat],
] as const;

const bytesOf = (frame: string | Uint8Array) =>
  typeof frame === "string" ? new TextEncoder().encode(frame) : frame;

/** What the codec makes of a frame; undefined when it is none. */
function decoded(codec: Codec, frame: Uint8Array): unknown {
  try {
    return codec.decode(frame);
  } catch {
    return undefined;
  }
}

test("a bare heartbeat is read from its bytes, whatever its numbers", (t) => {
  const property = fc.property(
    fc.maxSafeNat().filter((n) => n < 1e15),
    fc.option(fc.integer({ min: 0, max: 0xffff_ffff }), { nil: undefined }),
    fc.boolean(),
    (n, ch, isMarked) => {
      const message = {
        ...(isMarked && { jsonrpc: "2.0" }),
        method: "heartbeat",
        params: { n, ...(ch !== undefined && { ch }) },
      };
      const beat = { n: -1, ch: -1 };
      assert.equal(readJsonBeat(bytesOf(JSON.stringify(message)), beat), true);
      assert.deepEqual(beat, { n, ch: ch ?? 0 });
      const frame = bytesOf(msgpackCodec.encode({ method: message.method, params: message.params }));
      const packed = { n: -1, ch: -1 };
      // Beyond 32 bits numbers are floats there, and left to the codec.
      assert.equal(readPackedBeat(frame, packed), n <= 0xffff_ffff);
      if (n <= 0xffff_ffff) assert.deepEqual(packed, { n, ch: ch ?? 0 });
    },
  );
  fc.assert(property, { seed: seedOf(t), numRuns: 2_000 });
});

test("what the bytes are read as is what the codec reads, or they are left to it", (t) => {
  const seed = seedOf(t);
  const anyBeat = fc.record({ n: fc.nat(), ch: fc.nat(300) }, { requiredKeys: ["n"] });
  for (const [codec, read] of READERS) {
    // Whole frames with some bytes changed, added or cut off.
    const damaged = fc.tuple(
      anyBeat.map((params) => bytesOf(codec.encode({ method: "heartbeat", params }))),
      fc.array(fc.tuple(fc.nat(80), fc.integer({ min: -1, max: 255 })), { maxLength: 3 }),
    );
    const property = fc.property(damaged, ([whole, changes]) => {
      const bytes = [...whole];
      for (const [at, byte] of changes) {
        if (byte < 0) bytes.splice(at, 1);
        else bytes[at % bytes.length] = byte;
      }
      const frame = Uint8Array.from(bytes);
      const beat = { n: -1, ch: -1 };
      if (!read(frame, beat)) return;
      const message = decoded(codec, frame);
      assert.ok(
        typeof message === "object" && message !== null && "params" in message && "method" in message,
      );
      assert.equal(message.method, "heartbeat");
      assert.deepEqual({ ch: 0, ...Object(message.params) }, { n: beat.n, ch: beat.ch });
    });
    fc.assert(property, { seed, numRuns: 20_000 });
  }
});

for (const frame of [
  '{"method":"heartbeat","params":{"n":01}}',
  '{"method":"heartbeat","params":{"n":-1}}',
  '{"method":"heartbeat","params":{"n":1.5}}',
  '{"method":"heartbeat","params":{"n":1e3}}',
  '{"method":"heartbeat","params":{"n":1234567890123456}}',
  '{"method":"heartbeat","params":{"n":1,"status":"offline"}}',
  '{"method":"heartbeat","params":{"n":1}} ',
  '{"method":"heartbeat","params":{"n":1}',
  '{"id":1,"method":"heartbeat","params":{"n":1}}',
  '{"method":"heartbeats","params":{"n":1}}',
  '[{"method":"heartbeat","params":{"n":1}}]',
  "",
])
  test(`not a bare heartbeat: ${frame || "an empty frame"}`, () => {
    assert.equal(readJsonBeat(bytesOf(frame), { n: 0, ch: 0 }), false);
  });
