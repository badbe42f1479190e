import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Packr } from "msgpackr";
import { type Codec, codecFor, FrameTooRich, jsonCodec, msgpackCodec } from "../src/protocol/codec.ts";
import { assertContent, contentFault } from "../src/protocol/content.ts";
import { MusterError } from "../src/protocol/errors.ts";
import { NO_BOUNDS, SERVER_BOUNDS } from "../src/protocol/frame-bounds.ts";
import { MAX_DEPTH } from "../src/protocol/limits.ts";
import { isUtf8 } from "../src/protocol/utf8.ts";

const refused = (run: () => unknown, name: string, why = /./) =>
  assert.throws(
    run,
    (error) =>
      error instanceof MusterError &&
      ["parse_error", "invalid_params"].includes(error.reason) &&
      why.test(error.message),
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
    assertContent(value);
    return true;
  } catch {
    return false;
  }
});

test("an acknowledgement's frame is what its notification would be, in both codecs", () => {
  for (const codec of [jsonCodec, msgpackCodec])
    for (const n of [
      0,
      1,
      9,
      10,
      127,
      128,
      255,
      256,
      65_535,
      65_536,
      99_999,
      4_294_967_295,
      4_294_967_296,
      9_999_999_999,
      Number.MAX_SAFE_INTEGER,
    ])
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

/** Frames that are no single whole value. */
const BROKEN_MSGPACK: [string, Uint8Array, RegExp][] = [
  ["empty frame", hex(""), /empty/],
  ["cut in a map", hex("82 a1 61 01"), /middle/],
  ["cut in text", hex("a5 61 62"), /middle/],
  ["cut in a number", hex("cd 01"), /middle/],
  ["cut in a float", hex("cb 3ff00000"), /middle/],
  ["cut before a length", hex("dd 0000"), /middle/],
  ["cut in an extension", hex("c7 05 01 00"), /middle/],
  ["cut in a key that is an array", hex("81 92 01"), /middle/],
  ["cut below the greatest depth", new Uint8Array(100_000).fill(0x91), /middle/],
  ["bytes behind the value", hex("01 02"), /behind/],
  ["text of 4 GB", hex("db ffffffff 61"), /middle/],
  ["bytes of 4 GB", hex("c6 ffffffff 61"), /middle/],
  ["array of 4 billion", hex("dd ffffffff 01"), /middle/],
  ["map of 4 billion", hex("df ffffffff a1 61 01"), /middle/],
  ["arrays of 65535 in one another", hex("dc ffff ".repeat(20)), /middle/],
  ["the byte that means nothing", hex("c1"), /0xc1/],
];

/** Values that no message may hold, with where in `{"a": [value]}` that is, when it is not the value itself. */
const UNFIT_MSGPACK: [string, Uint8Array, RegExp, string?][] = [
  [
    "nesting too deep",
    msgpackCodecless(nested(MAX_DEPTH)),
    /deeper/,
    "a.0".padEnd(3 + 2 * (MAX_DEPTH - 2), ".0"),
  ],
  ["not a number", hex("cb 7ff8000000000000"), /finite/],
  ["infinity", hex("cb 7ff0000000000000"), /finite/],
  ["infinity in four bytes", hex("ca ff800000"), /finite/],
  ["a whole number beyond 2^53", hex("cf 0020000000000001"), /2\^53/],
  ["the largest unsigned number", hex("cf ffffffffffffffff"), /2\^53/],
  ["the smallest signed number", hex("d3 8000000000000000"), /2\^53/],
  ["a float beyond 2^53", hex("cb 7e37e43c8800759c"), /2\^53/],
  ["a number as a key", hex("81 01 01"), /keys/],
  ["null as a key", hex("81 c0 01"), /keys/],
  ["an array as a key", hex("81 92 91 01 81 a1 61 02 01"), /keys/],
  ["bytes as a key", hex("81 c4 01 61 01"), /keys/],
  ["a key that is not UTF-8", hex("81 a1 ff 01"), /keys/],
  ["the key __proto__", hex("81 a9 5f5f70726f746f5f5f 80"), /__proto__/],
  ["text that is not UTF-8", hex("a2 c328"), /UTF-8/],
  ["half a surrogate pair in UTF-8", hex("a3 eda080"), /UTF-8/],
  ["an overlong zero", hex("a2 c080"), /UTF-8/],
];

function msgpackCodecless(value: unknown): Uint8Array {
  return new Packr({ useRecords: false, variableMapSize: true }).pack(value);
}

/** `{"a": [value], "b": "é"}` around a packed value. */
const around = (value: Uint8Array) =>
  Uint8Array.from([...hex("82 a1 61 91"), ...value, ...hex("a1 62 a2 c3a9")]);

test("broken MessagePack is refused", () => {
  for (const [name, frame, why] of BROKEN_MSGPACK) refused(() => msgpackCodec.decode(frame), name, why);
  refused(() => msgpackCodec.decode("{}"), "text");
  assert.deepEqual(msgpackCodec.decode(msgpackCodec.encode(GOOD)), GOOD);
  assert.deepEqual(msgpackCodec.decode(msgpackCodecless(nested(MAX_DEPTH))), nested(MAX_DEPTH));
  assert.equal(contentFault(nested(MAX_DEPTH)), undefined);
});

test("what no message may hold is found where it stands, and what is around it is read", () => {
  for (const [name, value, why, where = "a.0"] of UNFIT_MSGPACK) {
    const decoded = msgpackCodec.decode(around(value)) as { b: unknown };
    assert.equal(decoded.b, "é", name);
    const fault = contentFault(decoded);
    assert.match(fault?.message ?? "", why, name);
    assert.equal(fault?.path.join("."), where, name);
  }
  assert.equal(({} as { admin?: boolean }).admin, undefined);
});

test("keys of every object are keys like others, and of a key that stands there twice the last counts", () => {
  const own = JSON.parse('{"constructor":{"prototype":1},"toString":2}');
  for (const codec of [jsonCodec, msgpackCodec]) {
    const decoded = codec.decode(codec.encode({ own }));
    assert.deepEqual(JSON.stringify((decoded as { own: unknown }).own), JSON.stringify(own));
    assert.equal(contentFault(decoded), undefined);
  }
  assert.deepEqual(msgpackCodec.decode(hex("82 a1 61 01 d9 01 61 02")), { a: 2 });
  assert.deepEqual(jsonCodec.decode('{"a":1,"\\u0061":2}'), { a: 2 });
});

test("every extension type of MessagePack is found, in every form, and the values around it are read", () => {
  const forms = [
    "d4 TT 00",
    "d5 TT 0000",
    "d6 TT 00000000",
    `d7 TT ${"00".repeat(8)}`,
    `d8 TT ${"00".repeat(16)}`,
  ];
  forms.push("c7 01 TT 00", "c8 0001 TT 00", "c9 00000001 TT 00");
  const unfit = (frame: Uint8Array, name: string) => {
    try {
      assert.match(contentFault(msgpackCodec.decode(frame))?.message ?? "", /extension/, name);
    } catch (error) {
      // An extension that speaks of what stands behind it, which then is behind the value.
      if (!(error instanceof MusterError)) throw error;
      assert.match(error.message, /behind/, name);
    }
  };
  for (let type = 0; type < 256; type++)
    for (const form of forms)
      unfit(around(hex(form.replace("TT", type.toString(16).padStart(2, "0")))), `${form} ${type}`);
  const rich = new Packr({ structuredClone: true, moreTypes: true, useRecords: false });
  for (const value of [new Date(0), new Set([1]), /x/, new Error("x"), 2n ** 70n, new Uint16Array(1)])
    unfit(rich.pack({ value }), String(value));
});

test("a record definition cannot change how later frames are read", () => {
  const definitions = [
    "d4 72 40 91 a1 61 07",
    "d5 72 40 00 91 a1 61 07",
    "91 d4 72 41 92 a1 61 a1 62 01 02",
    "c7 01 72 40 91 a1 61 07",
  ];
  for (const definition of definitions) {
    refused(() => assertContent(msgpackCodec.decode(hex(definition))), definition, /extension|behind/);
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
  ["unclosed nesting", "[".repeat(1_000_000), /JSON/],
  ["bytes that are not UTF-8", hex("22 ff 22"), /UTF-8/],
];

const UNFIT_JSON: [string, string, RegExp][] = [
  ["a number beyond all doubles", '{"n":1e999}', /finite/],
  ["a number below all doubles", "-1e999", /finite/],
  ["a number beyond 2^53", '{"n":[9007199254740994]}', /2\^53/],
  ["nesting too deep", JSON.stringify(nested(MAX_DEPTH + 1)), /deeper/],
  ["nesting of a hundred thousand", "[".repeat(100_000) + "]".repeat(100_000), /deeper/],
  ["the key __proto__", '{"params":{"__proto__":{"admin":true}}}', /__proto__/],
  ["the key __proto__, escaped", '{"params":{"\\u005f_proto__":{"admin":true}}}', /__proto__/],
  ["half a surrogate pair", '"\\ud800"', /surrogate/],
  ["half a surrogate pair in a key", '{"\\udc00":1}', /surrogate/],
];

test("what no message may hold is found in JSON", () => {
  for (const [name, frame, why] of UNFIT_JSON)
    assert.match(contentFault(jsonCodec.decode(frame))?.message ?? "", why, name);
  assert.equal(({} as { admin?: boolean }).admin, undefined);
});

test("broken JSON is refused", () => {
  for (const [name, frame, why] of HOSTILE_JSON) refused(() => jsonCodec.decode(frame), name, why);
  assert.deepEqual(jsonCodec.decode(JSON.stringify(nested(MAX_DEPTH))), nested(MAX_DEPTH));
  assert.deepEqual(jsonCodec.decode('{"a:b":"c\\"d:e\\\\","f":[":"]}'), { "a:b": 'c"d:e\\', f: [":"] });
  assert.deepEqual(jsonCodec.decode(Buffer.from('{"é":"\\ud83d\\ude00"}')), { é: "😀" });
  assert.equal(({} as { admin?: boolean }).admin, undefined);
});

test("a refusal never repeats what the frame said", () => {
  for (const frame of ['{"token":"secret-1"', '"token":"secret-1"}'])
    assert.throws(
      () => jsonCodec.decode(frame),
      (error: Error) => !/secret/.test(error.message + error.stack + String(error.cause)),
    );
});

test("whatever the bytes are, the answer is a value that can be judged or parse_error, and the next frame is read right", () => {
  const attempt = (codec: Codec, frame: Uint8Array) => {
    try {
      contentFault(codec.decode(frame));
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

test("only what JSON has, and bytes, may be in a message", () => {
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
    assert.equal(contentFault(value), undefined);
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
    assert.ok(contentFault(value), String(value));
    assert.deepEqual(contentFault({ deep: [value] })?.path, ["deep", 0]);
  }
});

/** A frame that holds one request, with this many elements in its params. */
const withElements = (id: string | number, list: unknown, key = "list") => ({
  id,
  method: "agent.create",
  params: { [key]: list },
});

test("a frame that holds too many values is refused before it is decoded, under its id", () => {
  const shapes: [string, unknown, string?][] = [
    ["empty texts", Array(50_001).fill("")],
    ["empty lists", Array(50_001).fill([])],
    ["members", Object.fromEntries(Array.from({ length: 25_001 }, (_, i) => [`k${i}`, 0]))],
    ["numbers", Array(50_001).fill(0)],
    ["depth", 0],
    ["channels", Array(100_001).fill(0), "chs"],
    ["texts among channels", Array(50_001).fill(""), "chs"],
    ["channels one level deeper", Array(50_001).fill([0]), "chs"],
  ];
  const ids: [string | number, string | number | null][] = [
    ['ab"c\\é', 'ab"c\\é'],
    [7, 7],
    [70_000, 70_000],
    ["x".repeat(100), "x".repeat(100)],
    ["x".repeat(200), null],
  ];
  for (const codec of [jsonCodec, msgpackCodec])
    for (const [name, list, key] of shapes)
      for (const [id, told] of ids) {
        const value = withElements(id, list, key);
        const frame = Buffer.from(codec.encode(value));
        // The libraries nest by recursion, so that depth is written by hand.
        const deep =
          codec === jsonCodec
            ? Buffer.from(
                JSON.stringify(value).replace(/0}}$/, `${"[".repeat(50_001)}${"]".repeat(50_001)}}}`),
              )
            : Buffer.concat([frame.subarray(0, -1), Buffer.alloc(50_001, 0x91), frame.subarray(-1)]);
        assert.throws(
          () => codec.decode(name === "depth" ? deep : frame, SERVER_BOUNDS),
          (error) => error instanceof FrameTooRich && error.id === told && error.reason === "invalid_request",
          `${codec.name} ${name} ${id}`,
        );
      }
});

test("as many values as may be are decoded, channels counted apart", () => {
  const chs = Array(100_000).fill(4_000_000_000);
  // The envelope has the message, four members and their keys, and the list with its own.
  const list = Array(49_989).fill("");
  for (const codec of [jsonCodec, msgpackCodec]) {
    for (const value of [withElements(1, list), { id: 1, method: "heartbeats", params: { n: 1, chs } }]) {
      const decoded = codec.decode(Buffer.from(codec.encode(value)), SERVER_BOUNDS);
      assert.deepEqual(decoded, codec === jsonCodec ? { jsonrpc: "2.0", ...value } : value);
    }
    assert.doesNotThrow(() =>
      codec.decode(codec.encode(withElements(1, Array(200_000).fill(""))), NO_BOUNDS),
    );
  }
});

test("messages that are encoded one by one become one batch", () => {
  for (const codec of [jsonCodec, msgpackCodec])
    for (const count of [1, 15, 70_000]) {
      const messages = Array.from({ length: count }, (_, id) => ({ id, result: { é: [id] } }));
      const frames = messages.map((message) => {
        const frame = codec.encode(message);
        return typeof frame === "string" ? frame : frame.slice();
      });
      assert.deepEqual(codec.decode(codec.joinBatch(frames)), codec.decode(codec.encode(messages)));
    }
});

test("what is UTF-8 is so for our own look as for the decoder", () => {
  const strict = new TextDecoder("utf-8", { fatal: true });
  const near = fc.array(
    fc.constantFrom(
      0x00,
      0x7f,
      0x80,
      0x8f,
      0x90,
      0x9f,
      0xa0,
      0xbf,
      0xc0,
      0xc1,
      0xc2,
      0xdf,
      0xe0,
      0xed,
      0xef,
      0xf0,
      0xf4,
      0xf5,
      0xff,
    ),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(near, fc.string({ unit: "binary" }), (bytes, text) => {
      for (const sample of [Uint8Array.from(bytes), new TextEncoder().encode(text)]) {
        let isRead = true;
        try {
          strict.decode(sample);
        } catch {
          isRead = false;
        }
        assert.equal(isUtf8(sample, 0, sample.length), isRead, String(sample));
      }
    }),
    { numRuns: 5_000 },
  );
});
