import assert from "node:assert/strict";
import { test } from "node:test";
import { MusterError } from "../src/protocol/errors.ts";
import { classify, failure, notification, request, success } from "../src/protocol/messages.ts";

test("requests and notifications are told apart by their id", () => {
  const params = { a: 1 };
  assert.deepEqual(classify({ id: 1, method: "m", params }), { kind: "request", id: 1, method: "m", params });
  assert.deepEqual(classify({ id: "x", method: "m" }), { kind: "request", id: "x", method: "m", params: {} });
  assert.deepEqual(classify({ id: "", method: "m" }), { kind: "request", id: "", method: "m", params: {} });
  assert.deepEqual(classify({ id: 0, method: "m" }), { kind: "request", id: 0, method: "m", params: {} });
  assert.deepEqual(classify({ method: "m", params }), { kind: "notification", method: "m", params });
  assert.equal(classify({ jsonrpc: "2.0", method: "m" }).kind, "notification");
});

test("answers are told apart by result and error", () => {
  assert.deepEqual(classify({ id: 7, result: null }), { kind: "response", id: 7, result: null });
  const error = { code: -32004, message: "no", data: { reason: "not_found" } };
  assert.deepEqual(classify({ id: "a", error }), { kind: "response-error", id: "a", error });
  assert.deepEqual(classify({ id: null, error: { code: 1, message: "m", data: 5 } }), {
    kind: "response-error",
    id: null,
    error: { code: 1, message: "m" },
  });
});

test("what the helpers make is what the other side reads", () => {
  assert.equal(classify(request(1, "m", { a: 1 })).kind, "request");
  assert.equal(classify(notification("m", {})).kind, "notification");
  assert.equal(classify(success("1", {})).kind, "response");
  const wrong = new MusterError("conflict", "taken", { name: "a" });
  assert.deepEqual(classify(failure(null, wrong)), {
    kind: "response-error",
    id: null,
    error: wrong.toWire(),
  });
});

test("what is no message is invalid, and answered to its id where it has a good one", () => {
  const cases: [unknown, string | number | null, RegExp][] = [
    [null, null, /object/],
    [5, null, /object/],
    ["text", null, /object/],
    [[], null, /object/],
    [[{ method: "m" }], null, /object/],
    [new Uint8Array(1), null, /object/],
    [{}, null, /method/],
    [{ id: 1 }, 1, /method/],
    [{ id: 1, method: 5 }, 1, /method/],
    [{ id: 1, method: null }, 1, /method/],
    [{ id: 1, method: "" }, 1, /method/],
    [{ id: 1, method: "m".repeat(201) }, 1, /method/],
    [{ id: null, method: "m" }, null, /id/],
    [{ id: true, method: "m" }, null, /id/],
    [{ id: {}, method: "m" }, null, /id/],
    [{ id: "x".repeat(201), method: "m" }, null, /id/],
    [{ id: Number.NaN, method: "m" }, null, /id/],
    [{ id: 1, method: "m", params: [1] }, 1, /by name/],
    [{ id: 1, method: "m", params: null }, 1, /by name/],
    [{ id: 1, method: "m", params: "a" }, 1, /by name/],
    [{ method: "m", params: new Uint8Array(1) }, null, /by name/],
    [{ id: 1, jsonrpc: "1.0", method: "m" }, 1, /2\.0/],
    [{ id: 1, jsonrpc: 2, method: "m" }, 1, /2\.0/],
    [{ id: 1, result: 1, error: { code: 1, message: "" } }, 1, /exactly one/],
    [{ id: null, result: 1 }, null, /id/],
    [{ result: 1 }, null, /id/],
    [{ error: { code: 1, message: "m" } }, null, /id/],
    [{ id: 1, error: "bad" }, 1, /error/],
    [{ id: 1, error: { code: "1", message: "m" } }, 1, /error/],
    [{ id: 1, error: { code: 1 } }, 1, /error/],
  ];
  for (const [message, id, why] of cases) {
    const incoming = classify(message);
    assert.equal(incoming.kind, "invalid", JSON.stringify(message));
    if (incoming.kind !== "invalid") continue;
    assert.equal(incoming.id, id, JSON.stringify(message));
    assert.equal(incoming.why.reason, "invalid_request");
    assert.match(incoming.why.message, why);
  }
});
