import assert from "node:assert/strict";
import { test } from "node:test";
import { assertError, assertLives, provoke } from "./support/hostile.ts";
import { startTestServer } from "./support/server.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);
const ascii = (text: string) => [...Buffer.from(text)];
const request = (params: string) => `{"id":1,"method":"agent.get","params":${params}}`;

/** Text frames that hold no good message, with the reason that each is refused for. */
const JSON_FRAMES: Record<string, [frame: string, reason: string]> = {
  "an empty frame": ["", "parse_error"],
  "a space": [" ", "parse_error"],
  "no JSON": ["hello", "parse_error"],
  "half a message": ['{"id":1,"method":"agent.get"', "parse_error"],
  "two messages": ['{"id":1,"method":"a"}{"id":2,"method":"b"}', "parse_error"],
  "single quotes": ["{'id':1}", "parse_error"],
  "a comment": ['{"id":1,/* */"method":"x"}', "parse_error"],
  NaN: ['{"id":NaN,"method":"x"}', "parse_error"],
  Infinity: [request('{"agent_id":Infinity}'), "parse_error"],
  "a number that no double holds": [request('{"n":1e999}'), "invalid_params"],
  "a lone surrogate": [request('{"agent_id":"\\ud800"}'), "invalid_params"],
  "a lone surrogate in a key": [request('{"\\udfff":1}'), "invalid_params"],
  "__proto__ in params": [request('{"__proto__":{"polluted":1}}'), "invalid_params"],
  "an escaped __proto__": [request('{"\\u005f_proto__":{"polluted":1}}'), "invalid_params"],
  "__proto__ in the envelope": ['{"id":1,"method":"agent.get","__proto__":{"polluted":1}}', "invalid_params"],
  "constructor.prototype": [request('{"constructor":{"prototype":{"polluted":1}}}'), "invalid_params"],
  "a thousand levels of arrays": ["[".repeat(1_000) + "]".repeat(1_000), "invalid_request"],
  "half a million open arrays": ["[".repeat(500_000), "invalid_request"],
  "half a million levels": ["[".repeat(500_000) + "]".repeat(500_000), "invalid_request"],
  "fifty levels of objects": [request(`${'{"a":'.repeat(50)}1${"}".repeat(50)}`), "invalid_params"],
  "ten thousand levels of objects": [
    request(`${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`),
    "invalid_params",
  ],
  "a byte order mark": [`\ufeff${request("{}")}`, "parse_error"],
  null: ["null", "invalid_request"],
  "a number": ["7", "invalid_request"],
  "a text": ['"agent.get"', "invalid_request"],
  true: ["true", "invalid_request"],
  "an empty batch": ["[]", "invalid_request"],
  "a batch of 1,001": [JSON.stringify(Array(1_001).fill({ method: "heartbeat" })), "invalid_request"],
  "a batch of a batch": ["[[]]", "invalid_request"],
  "a batch of null": ["[null]", "invalid_request"],
  "an empty object": ["{}", "invalid_request"],
  "an id alone": ['{"id":1}', "invalid_request"],
  "another version": ['{"jsonrpc":"1.0","id":1,"method":"organization.get"}', "invalid_request"],
  "a version that is a number": ['{"jsonrpc":2.0,"id":1,"method":"organization.get"}', "invalid_request"],
  "an id of null": ['{"id":null,"method":"organization.get"}', "invalid_request"],
  "an id that is an object": ['{"id":{},"method":"organization.get"}', "invalid_request"],
  "an id that is true": ['{"id":true,"method":"organization.get"}', "invalid_request"],
  "an id of half a number": ['{"id":1.5,"method":"organization.get"}', "invalid_request"],
  "an id beyond 2^53": ['{"id":9007199254740994,"method":"organization.get"}', "invalid_request"],
  "an id of 129 bytes": [`{"id":"${"é".repeat(64)}i","method":"organization.get"}`, "invalid_request"],
  "a method that is a number": ['{"id":1,"method":7}', "invalid_request"],
  "a method that is null": ['{"id":1,"method":null}', "invalid_request"],
  "an empty method": ['{"id":1,"method":""}', "invalid_request"],
  "a method of 201 characters": [`{"id":1,"method":"${"m".repeat(201)}"}`, "invalid_request"],
  "params by position": [request("[1,2]"), "invalid_request"],
  "params that are text": [request('"x"'), "invalid_request"],
  "params that are null": [request("null"), "invalid_request"],
  "result and error": ['{"id":1,"result":1,"error":{"code":1,"message":"x"}}', "invalid_request"],
  "a result without an id": ['{"result":1}', "invalid_request"],
  "an error that is text": ['{"id":1,"error":"x"}', "invalid_request"],
  "an error without a code": ['{"id":1,"error":{"message":"x"}}', "invalid_request"],
  "a request as a notification": ['{"method":"organization.get"}', "invalid_request"],
  "an unknown notification": ['{"method":"nothing"}', "invalid_request"],
  "a second hello": ['{"id":1,"method":"hello","params":{}}', "invalid_request"],
  "a method of every object: constructor": ['{"id":1,"method":"constructor"}', "method_not_found"],
  "a method of every object: __proto__": ['{"id":1,"method":"__proto__"}', "method_not_found"],
  "a method of every object: toString": ['{"id":1,"method":"toString"}', "method_not_found"],
  "a method of every object: hasOwnProperty": ['{"id":1,"method":"hasOwnProperty"}', "method_not_found"],
  "a method in other letters": ['{"id":1,"method":"Agent.Get"}', "method_not_found"],
  "a method with a space": ['{"id":1,"method":"agent.get "}', "method_not_found"],
  "a method with U+0000": ['{"id":1,"method":"agent.get\\u0000"}', "method_not_found"],
  "the server's own request": ['{"id":1,"method":"config","params":{}}', "method_not_found"],
  "the server's own notification": ['{"id":1,"method":"ack","params":{"n":1}}', "method_not_found"],
  "an unknown param": [request('{"agent_id":"x","extra":1}'), "invalid_params"],
  "a heartbeat without n": ['{"method":"heartbeat"}', "invalid_params"],
  "a heartbeat with n as text": ['{"method":"heartbeat","params":{"n":"1"}}', "invalid_params"],
  "a heartbeat with a half n": ['{"method":"heartbeat","params":{"n":0.5}}', "invalid_params"],
  "a heartbeat beyond 2^53": ['{"method":"heartbeat","params":{"n":1e300}}', "invalid_params"],
  "a heartbeat of a user": ['{"method":"heartbeat","params":{"n":1}}', "not_found"],
  "heartbeats of channels that are not there": [
    '{"method":"heartbeats","params":{"n":1,"chs":[4294967295]}}',
    "not_found",
  ],
  "heartbeats of a negative channel": [
    '{"method":"heartbeats","params":{"n":1,"chs":[-1]}}',
    "invalid_params",
  ],
  "heartbeats of bytes as text": ['{"method":"heartbeats","params":{"n":1,"chs":"AAAA"}}', "invalid_params"],
  "heartbeats of 100,001 channels": [
    `{"method":"heartbeats","params":{"n":1,"chs":[${Array(100_001).fill(0)}]}}`,
    "invalid_request",
  ],
};

/** Binary frames that hold no good message. */
const MSGPACK_FRAMES: Record<string, [frame: Uint8Array, reason: string]> = {
  "an empty frame": [bytes(), "parse_error"],
  "a map that ends early": [bytes(0x82, 0xa2, ...ascii("id")), "parse_error"],
  "a text that ends early": [bytes(0xd9, 0xff, 0x61), "parse_error"],
  "an array that lies about its length": [bytes(0xdd, 0xff, 0xff, 0xff, 0xff), "parse_error"],
  "a map that lies about its length": [bytes(0xdf, 0xff, 0xff, 0xff, 0xff), "parse_error"],
  "bytes that lie about their length": [bytes(0xc6, 0xff, 0xff, 0xff, 0xff), "parse_error"],
  "bytes behind the message": [bytes(0xc0, 0xc0), "parse_error"],
  "the byte that means nothing": [bytes(0xc1), "parse_error"],
  NaN: [bytes(0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0), "invalid_request"],
  Infinity: [bytes(0xca, 0x7f, 0x80, 0, 0), "invalid_request"],
  "a number beyond 2^53": [bytes(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "invalid_request"],
  "an extension": [bytes(0xd4, 0x01, 0x00), "invalid_request"],
  "a timestamp": [bytes(0xd6, 0xff, 0, 0, 0, 0), "invalid_request"],
  "a record definition": [bytes(0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01), "parse_error"],
  "a key that is a number": [bytes(0x81, 0x01, 0x02), "invalid_request"],
  "a key that is bytes": [bytes(0x81, 0xc4, 0x01, 0x61, 0x02), "invalid_request"],
  "a key twice": [bytes(0x82, 0xa1, 0x61, 0x01, 0xa1, 0x61, 0x02), "invalid_request"],
  __proto__: [bytes(0x81, 0xa9, ...ascii("__proto__"), 0x80), "invalid_request"],
  "text that is not UTF-8": [bytes(0xa2, 0xc3, 0x28), "invalid_request"],
  "half a surrogate pair": [bytes(0xa3, 0xed, 0xa0, 0x80), "invalid_request"],
  "a hundred thousand levels": [new Uint8Array(100_000).fill(0x91), "invalid_request"],
  "JSON's bytes": [Buffer.from('{"id":1,"method":"organization.get"}'), "parse_error"],
  nil: [bytes(0xc0), "invalid_request"],
  "bytes as a message": [bytes(0xc4, 0x01, 0x00), "invalid_request"],
  "an empty batch": [bytes(0x90), "invalid_request"],
  "a batch of bytes": [bytes(0x91, 0xc4, 0x00), "invalid_request"],
};

for (const [codec, frames] of [
  ["json", JSON_FRAMES],
  ["msgpack", MSGPACK_FRAMES],
] as const)
  test(`a bad ${codec} frame gets its error, and the session goes on (${Object.keys(frames).length} of them)`, async (t) => {
    const server = await startTestServer(t);
    const wire = await server.wire({ codec });
    for (const [name, [frame, reason]] of Object.entries(frames)) {
      assertError(await provoke(wire, frame), reason, name);
      await assertLives(server, wire);
    }
  });

test("an error goes to the id of what it answers, whatever sort of id that is", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.wire();
  for (const id of [0, -1, 2 ** 53, "", "x", "💥", "__proto__", "\u0000"]) {
    const answer = await provoke(wire, JSON.stringify({ id, method: "nothing" }));
    assert.deepEqual([answer.id, answer.error.data.reason], [id, "method_not_found"]);
  }
  const unreadable = await provoke(wire, "{");
  assert.equal(unreadable.id, null);
  // Whoever uses an id twice gets both answers under it.
  const from = wire.received.length;
  wire.sendRaw('[{"id":"d","method":"organization.get"},{"id":"d","method":"nothing"}]');
  await wire.next("two answers", () => wire.received.length >= from + 2);
  assert.deepEqual(
    wire.received.slice(from).map((message) => message.id),
    ["d", "d"],
  );
});

test("what nobody asked is no answer, and is not answered", async (t) => {
  const server = await startTestServer(t);
  const wire = await server.wire();
  wire.send([
    { id: "server-1", result: {} },
    { id: 99, result: null },
    { id: "x", error: { code: -1, message: "no", data: [1] } },
    { id: null, error: { code: -1, message: "no" } },
  ]);
  await assertLives(server, wire);
  assert.deepEqual(wire.received, []);
});
