import assert from "node:assert/strict";
import type { TestServer } from "./server.ts";
import type { Message, Wire } from "./wire.ts";

/** Every error that may leave the server: its code and status by reason, written down apart from the server's own table. */
export const ERROR_TABLE: Record<string, { code: number; status: number }> = {
  parse_error: { code: -32700, status: 400 },
  invalid_request: { code: -32600, status: 400 },
  method_not_found: { code: -32601, status: 404 },
  invalid_params: { code: -32602, status: 422 },
  unauthenticated: { code: -32001, status: 401 },
  forbidden: { code: -32003, status: 403 },
  not_found: { code: -32004, status: 404 },
  conflict: { code: -32009, status: 409 },
  unprocessable: { code: -32022, status: 422 },
  rate_limited: { code: -32029, status: 429 },
  agent_offline: { code: -32050, status: 409 },
};

/** Holds an answer to the table: an error whose parts belong together, never `internal`. `reason` may be left open. */
export function assertError(answer: Message, reason?: string, about = ""): void {
  const { error } = answer;
  const context = `${about} → ${JSON.stringify(answer).slice(0, 500)}`;
  assert.ok(error, `an error was due: ${context}`);
  const row = ERROR_TABLE[error.data?.reason];
  assert.ok(row, `no such error may leave the server: ${context}`);
  if (reason !== undefined) assert.equal(error.data.reason, reason, context);
  assert.equal(error.code, row.code, context);
  assert.equal(error.data.status, row.status, context);
  assert.equal(typeof error.message, "string", context);
  assert.ok(error.message.length > 0, `an error says what was wrong: ${context}`);
  assert.doesNotMatch(JSON.stringify(error), /node_modules|\.ts:\d|at async /, "no stack leaves the server");
  if (error.data.reason === "rate_limited") assert.equal(typeof error.data.retry_after_ms, "number", context);
  if (error.data.reason !== "invalid_params") return;
  assert.ok(error.data.issues.length > 0, `issues say which param it was: ${context}`);
  for (const { path, message } of error.data.issues) {
    assert.equal(typeof path, "string", context);
    assert.ok(message.length > 0, context);
  }
}

/** An answer is a result, or an error of the table. */
export function assertAnswer(answer: Message, about = ""): void {
  if (answer.error === undefined) assert.ok("result" in answer, `${about} → ${JSON.stringify(answer)}`);
  else assertError(answer, undefined, about);
}

/** The session goes on as if nothing had been. */
export async function assertLives(server: TestServer, wire: Wire): Promise<void> {
  const { organization } = await wire.call("organization.get");
  assert.equal(organization.id, server.organization.id);
  assert.equal(Object.hasOwn(Object.prototype, "polluted"), false);
}

/** Sends a frame as it is, and returns what comes back first. */
export async function provoke(wire: Wire, frame: string | Uint8Array): Promise<Message> {
  const from = wire.received.length;
  wire.sendRaw(frame);
  return wire.next("an answer to the frame", () => true, from);
}

/** Random numbers that a seed decides. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
