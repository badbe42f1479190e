import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Packr } from "msgpackr";
import { assertPlain, type Codec, codecFor, jsonCodec, msgpackCodec } from "../src/protocol/codec.ts";
import { MusterError } from "../src/protocol/errors.ts";
import { MAX_DEPTH } from "../src/protocol/limits.ts";

const refused = (run: () => unknown, name: string, why = /./) =>
  assert.throws(
    run,
    (error) => error instanceof MusterError && error.reason === "parse_error" && why.test(error.message),
    name,
  );

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
const GOOD = { method: "heartbeat", params: { n: 1, stats: { ключ: [1.5, -7, true, null, "é😀"] } } };

test("a codec is found by its subprotocol", () => {
  assert.equal(codecFor("muster.v1.json"), jsonCodec);
  assert.equal(codecFor("muster.v1.msgpack"), msgpackCodec);
  assert.equal(codecFor("muster.v2.json"), undefined);
  assert.equal(codecFor(""), undefined);
});

test("JSON marks each message as JSON-RPC 2.0, also in a batch, and nothing inside them", () => {
  assert.deepEqual(JSON.parse(String(jsonCodec.encode(GOOD))), { jsonrpc: "2.0", ...GOOD });
  assert.deepEqual(
    JSON.parse(
      String(
        jsonCodec.encode([
          { id: 1, result: { a: {} } },
          { id: 2, result: [] },
        ]),
      ),
    ),
    [
      { jsonrpc: "2.0", id: 1, result: { a: {} } },
      { jsonrpc: "2.0", id: 2, result: [] },
    ],
  );
});

test("MessagePack is plain: no mark, no extension, undefined left out", () => {
  assert.equal(
    Buffer.from(msgpackCodec.encode({ id: 1, gone: undefined, list: [undefined], on: true })).toString("hex"),
    "83a2696401a46c69737491c0a26f6ec3",
  );
  assert.equal(
    Buffer.from(msgpackCodec.encode({ chs: new Uint8Array([1, 2]) })).toString("hex"),
    "81a3636873c4020102",
  );
});

const jsonValue = fc.jsonValue({ maxDepth: 6 }).filter((value) => {
  try {
    assertPlain(value);
    return true;
  } catch {
    return false;
  }
});

test("an acknowledgement's frame is what its notification would be, in both codecs", () => {
  for (const codec of [jsonCodec, msgpackCodec])
    for (const n of [0, 1, 4_294_967_296, Number.MAX_SAFE_INTEGER])
      assert.deepEqual(
        Buffer.from(codec.encodeAck(n)).toString("latin1"),
        Buffer.from(codec.encode({ method: "ack", params: { n } })).toString("latin1"),
      );
});

test("what one side encodes the other decodes, in both codecs", () => {
  fc.assert(
    fc.property(jsonValue, (value) => {
      const params = JSON.parse(JSON.stringify(value));
      assert.deepEqual(jsonCodec.decode(jsonCodec.encode({ params })), { jsonrpc: "2.0", params });
      assert.deepEqual(msgpackCodec.decode(msgpackCodec.encode({ params })), { params });
    }),
  );
  const large = {
    text: "x".repeat(70_000),
    list: Array.from({ length: 70_000 }, (_, i) => i),
    é: "é".repeat(40_000),
  };
  assert.deepEqual(msgpackCodec.decode(msgpackCodec.encode(large)), large);
});

test("other libraries' forms of the same values are understood", () => {
  const cases: [string, unknown][] = [
    ["81 a1 6e cf 000000012a05f200", { n: 5_000_000_000 }],
    ["d3 ffffffffffffffff", -1],
    ["cf 001fffffffffffff", Number.MAX_SAFE_INTEGER],
    ["d9 01 61", "a"],
    ["da 0001 61", "a"],
    ["db 00000001 61", "a"],
    ["dc 0001 c3", [true]],
    ["dd 00000001 c2", [false]],
    ["de 0001 a1 61 01", { a: 1 }],
    ["df 00000001 d9 01 61 01", { a: 1 }],
    ["ca 3fc00000", 1.5],
    ["d0 80", -128],
    ["c4 02 0102", new Uint8Array([1, 2])],
    ["c6 00000001 09", new Uint8Array([9])],
  ];
  for (const [bytes, value] of cases) {
    const decoded = msgpackCodec.decode(hex(bytes));
    assert.deepEqual(decoded instanceof Uint8Array ? new Uint8Array(decoded) : decoded, value, bytes);
  }
});

const HOSTILE_MSGPACK: [string, Uint8Array, RegExp][] = [
  ["empty frame", hex(""), /empty/],
  ["cut in a map", hex("82 a1 61 01"), /middle/],
  ["cut in text", hex("a5 61 62"), /middle/],
  ["cut in a number", hex("cd 01"), /middle/],
  ["cut in a float", hex("cb 3ff00000"), /middle/],
  ["cut before a length", hex("dd 0000"), /middle/],
  ["bytes behind the value", hex("01 02"), /behind/],
  ["text of 4 GB", hex("db ffffffff 61"), /middle/],
  ["bytes of 4 GB", hex("c6 ffffffff 61"), /middle/],
  ["array of 4 billion", hex("dd ffffffff 01"), /middle/],
  ["map of 4 billion", hex("df ffffffff a1 61 01"), /middle/],
  ["arrays of 65535 in one another", hex("dc ffff ".repeat(20)), /middle/],
  ["the byte that means nothing", hex("c1"), /0xc1/],
  ["nesting too deep", msgpackCodecless(nested(MAX_DEPTH + 1)), /deeper/],
  ["nesting of a hundred thousand", new Uint8Array(100_000).fill(0x91), /deeper/],
  ["maps a hundred thousand deep", hex("81 a1 61".repeat(100_000)), /deeper/],
  ["not a number", hex("cb 7ff8000000000000"), /finite/],
  ["infinity", hex("cb 7ff0000000000000"), /finite/],
  ["infinity in four bytes", hex("ca ff800000"), /finite/],
  ["a whole number beyond 2^53", hex("cf 0020000000000001"), /2\^53/],
  ["the largest unsigned number", hex("cf ffffffffffffffff"), /2\^53/],
  ["the smallest signed number", hex("d3 8000000000000000"), /2\^53/],
  ["a number as a key", hex("81 01 01"), /key/],
  ["null as a key", hex("81 c0 01"), /key/],
  ["an array as a key", hex("81 91 01 01"), /key/],
  ["bytes as a key", hex("81 c4 01 61 01"), /key/],
  ["the key __proto__", hex("81 a9 5f5f70726f746f5f5f 80"), /__proto__/],
  ["the key constructor", msgpackCodecless(JSON.parse('{"constructor":1}')), /constructor/],
  ["the key prototype", msgpackCodecless({ prototype: 1 }), /prototype/],
  ["the same key twice", hex("82 a1 61 01 a1 61 02"), /twice/],
  ["the same key twice, written differently", hex("82 a1 61 01 d9 01 61 02"), /twice/],
  ["text that is not UTF-8", hex("a2 c328"), /UTF-8/],
  ["half a surrogate pair in UTF-8", hex("a3 eda080"), /UTF-8/],
  ["an overlong zero", hex("a2 c080"), /UTF-8/],
  ["a key that is not UTF-8", hex("81 a1 ff 01"), /UTF-8/],
];

function msgpackCodecless(value: unknown): Uint8Array {
  return new Packr({ useRecords: false, variableMapSize: true }).pack(value);
}

test("hostile MessagePack is refused", () => {
  for (const [name, frame, why] of HOSTILE_MSGPACK) refused(() => msgpackCodec.decode(frame), name, why);
  refused(() => msgpackCodec.decode("{}"), "text");
  assert.deepEqual(msgpackCodec.decode(msgpackCodec.encode(GOOD)), GOOD);
  assert.deepEqual(msgpackCodec.decode(msgpackCodecless(nested(MAX_DEPTH))), nested(MAX_DEPTH));
});

test("every extension type of MessagePack is refused, in every form", () => {
  const forms = [
    "d4 TT 00",
    "d5 TT 0000",
    "d6 TT 00000000",
    `d7 TT ${"00".repeat(8)}`,
    `d8 TT ${"00".repeat(16)}`,
  ];
  forms.push("c7 01 TT 00", "c8 0001 TT 00", "c9 00000001 TT 00");
  for (let type = 0; type < 256; type++)
    for (const form of forms)
      refused(
        () => msgpackCodec.decode(hex(form.replace("TT", type.toString(16).padStart(2, "0")))),
        `${form} ${type}`,
        /extension/,
      );
  const rich = new Packr({ structuredClone: true, moreTypes: true, useRecords: false });
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  for (const value of [new Date(0), new Set([1]), /x/, new Error("x"), 2n ** 70n, new Uint16Array(1), cyclic])
    refused(() => msgpackCodec.decode(rich.pack({ value })), String(value), /extension/);
});

test("a record definition cannot change how later frames are read", () => {
  const definitions = [
    "d4 72 40 91 a1 61 07",
    "d5 72 40 00 91 a1 61 07",
    "91 d4 72 41 92 a1 61 a1 62 01 02",
    "c7 01 72 40 91 a1 61 07",
  ];
  for (const definition of definitions) {
    refused(() => msgpackCodec.decode(hex(definition)), definition, /extension/);
    // With a record defined, these small numbers would be read as objects.
    for (let number = 0x40; number < 0x80; number++)
      assert.deepEqual(msgpackCodec.decode(Uint8Array.of(0x92, number, number)), [number, number]);
  }
});

const HOSTILE_JSON: [string, string | Uint8Array, RegExp][] = [
  ["empty frame", "", /empty/],
  ["spaces only", "  ", /JSON/],
  ["cut", '{"id":1', /JSON/],
  ["text behind the value", "{} {}", /JSON/],
  ["not JSON", "hello", /JSON/],
  ["NaN", '{"n":NaN}', /JSON/],
  ["a number beyond all doubles", '{"n":1e999}', /finite/],
  ["a number below all doubles", "-1e999", /finite/],
  ["nesting too deep", JSON.stringify(nested(MAX_DEPTH + 1)), /deeper/],
  ["nesting of a hundred thousand", "[".repeat(100_000) + "]".repeat(100_000), /deeper/],
  ["unclosed nesting", "[".repeat(1_000_000), /JSON/],
  ["the key __proto__", '{"params":{"__proto__":{"admin":true}}}', /__proto__/],
  ["the key constructor", '{"constructor":{"prototype":{}}}', /constructor/],
  ["the key prototype", '{"prototype":1}', /prototype/],
  ["the same key twice", '{"a":1,"b":{"c":":","c":2}}', /twice/],
  ["the same key twice, written differently", '{"a":1,"\\u0061":2}', /twice/],
  ["half a surrogate pair", '"\\ud800"', /surrogate/],
  ["half a surrogate pair in a key", '{"\\udc00":1}', /surrogate/],
  ["bytes that are not UTF-8", hex("22 ff 22"), /UTF-8/],
];

test("hostile JSON is refused", () => {
  for (const [name, frame, why] of HOSTILE_JSON) refused(() => jsonCodec.decode(frame), name, why);
  assert.deepEqual(jsonCodec.decode(JSON.stringify(nested(MAX_DEPTH))), nested(MAX_DEPTH));
  assert.deepEqual(jsonCodec.decode('{"a:b":"c\\"d:e\\\\","f":[":"]}'), { "a:b": 'c"d:e\\', f: [":"] });
  assert.deepEqual(jsonCodec.decode(Buffer.from('{"é":"\\ud83d\\ude00"}')), { é: "😀" });
  assert.equal(({} as { admin?: boolean }).admin, undefined);
});

test("a refusal never repeats what the frame said", () => {
  for (const frame of ['{"token":"secret-1"', '{"token":"secret-1","token":"secret-1"}'])
    assert.throws(
      () => jsonCodec.decode(frame),
      (error: Error) => !/secret/.test(error.message + error.stack + String(error.cause)),
    );
});

test("whatever the bytes are, the answer is a plain value or parse_error, and the next frame is read right", () => {
  const attempt = (codec: Codec, frame: Uint8Array) => {
    try {
      assertPlain(codec.decode(frame));
    } catch (error) {
      assert.ok(error instanceof MusterError && error.reason === "parse_error", String(error));
    }
    assert.deepEqual(
      codec.decode(codec.encode(GOOD)),
      codec === jsonCodec ? { jsonrpc: "2.0", ...GOOD } : GOOD,
    );
  };
  const damaged = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }), jsonValue).map(([at, byte, value]) => {
    const frame = Uint8Array.from(msgpackCodecless({ value, b: Buffer.from([1, 2, 3]) }));
    frame[at % frame.length] = byte;
    return frame;
  });
  const tokens = fc.array(
    fc.constantFrom(0x81, 0x92, 0xa1, 0x61, 0xc4, 0xd4, 0xd5, 0x72, 0x40, 0xdc, 0xc7, 0x00, 0x01),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 64 }),
        tokens.map((list) => Uint8Array.from(list)),
        damaged,
      ),
      (frame) => {
        attempt(msgpackCodec, frame);
        attempt(jsonCodec, frame);
      },
    ),
    { numRuns: 3_000 },
  );
});

test("a cut frame is refused wherever it is cut", () => {
  const frame = Uint8Array.from(
    Buffer.from(msgpackCodec.encode({ ...GOOD, b: new Uint8Array(300), t: "x".repeat(300) })),
  );
  for (let length = 0; length < frame.length; length++)
    refused(() => msgpackCodec.decode(frame.subarray(0, length)), `${length} bytes`);
});

test("decoded bytes are a copy of the frame's, from wherever in its buffer it stands", () => {
  const buffer = new Uint8Array(64);
  buffer.set(msgpackCodec.encode({ chs: new Uint8Array([1, 2, 3, 4]) }) as Uint8Array, 7);
  const frame = buffer.subarray(7, 7 + 11);
  const { chs } = msgpackCodec.decode(frame) as { chs: Uint8Array };
  buffer.fill(0xff);
  assert.deepEqual([...chs], [1, 2, 3, 4]);
  assert.notEqual(chs.buffer, buffer.buffer);
});

test("lengths that lie cost no memory", () => {
  const lies = [
    hex("dd 00ffffff 01"),
    hex("df 00ffffff a1 61 01"),
    hex("c6 ffffffff"),
    hex("db ffffffff"),
    hex("91 dc ffff"),
  ];
  const before = process.memoryUsage();
  for (let i = 0; i < 20_000; i++)
    refused(() => msgpackCodec.decode(lies[i % lies.length] ?? hex("")), "a lie");
  const after = process.memoryUsage();
  assert.ok(after.arrayBuffers - before.arrayBuffers < 16e6 && after.rss - before.rss < 150e6);
});

test("only plain values are plain", () => {
  for (const value of [
    null,
    1,
    "a",
    true,
    [],
    {},
    new Uint8Array(2),
    { a: [{ b: null }] },
    Object.create(null),
  ])
    assertPlain(value);
  const others = [
    undefined,
    1n,
    Symbol("x"),
    () => 1,
    NaN,
    new Date(),
    new Map(),
    new Set(),
    /x/,
    new Error("x"),
  ];
  for (const value of [...others, new Uint16Array(1), new ArrayBuffer(1), new MusterError("internal", "x")]) {
    refused(() => assertPlain(value), String(value));
    refused(() => assertPlain({ deep: [value] }), String(value));
  }
});
