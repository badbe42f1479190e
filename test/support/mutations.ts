import type { Message } from "./wire.ts";

const text = (character: string, length: number) => character.repeat(length);
const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) });

/** Values that a careless server trips over, in whatever field they stand. */
export const HOSTILE_VALUES: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  -0,
  1.5,
  1e308,
  5e-324,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  "",
  " ",
  "\u0000",
  "a\u0000b",
  "\u001b[2J\u001b]0;x\u0007",
  "\u202e\u200b\ufeff",
  "../../x",
  "/etc/passwd",
  "C:\\x",
  "%",
  "_",
  "%s%n",
  "'; drop table agents; --",
  '"><script>alert(1)</script>',
  "{{ 7 | times: 6 }}{% raw %}",
  "\\",
  "\\u0000",
  "true",
  "NaN",
  "Infinity",
  "-1",
  "99999999999999999999d",
  "100000000000d",
  "9999999999999999ms",
  "104249991d",
  "3650000d",
  "0s",
  "1s",
  "-1s",
  "0000-01-01",
  "9999-12-31",
  "2026-02-30",
  "275760-09-13",
  "0000-01-01T00:00:00Z",
  "0000-01-01T00:00:00+23:59",
  "9999-12-31T23:59:59.999-23:59",
  "2026-01-01T00:00:00.123456789Z",
  "2026-12-31T23:59:60Z",
  "agents",
  "activity",
  "agents:board:",
  "agents:agent:__proto__",
  "commands:agent:00000000-0000-4000-8000-000000000000",
  "00000000-0000-0000-0000-000000000000",
  "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
  "00000000-0000-4000-8000-00000000000g",
  "constructor",
  "toString",
  "hasOwnProperty",
  text("a", 201),
  text("é", 400),
  text("x", 4_001),
  text("💥", 30_000),
  [],
  [[]],
  [null],
  ["a", "a"],
  Array.from({ length: 2_000 }, (_, index) => index),
  {},
  JSON.parse('{"toString":1,"valueOf":1,"hasOwnProperty":1,"then":1,"length":-1}'),
  { every: "1s", target: { x: "\u0000" } },
  { "\u0000": 1 },
  { " __proto__ ": "x" },
  { a: text("y", 70_000) },
  nested(20),
];

/** Cursors that look like ours, and are not. */
export const HOSTILE_CURSORS: readonly string[] = [
  "x",
  "====",
  "999999999999999",
  "9999999999999999",
  "-1",
  "1e3",
  ...[
    "0000-01-01T00:00:00.000Z a",
    "2026-02-30T00:00:00.000Z a",
    "2026-13-01T00:00:00.000Z a",
    "2026-01-01T24:00:00.000Z a",
    "2026-01-01T1:1Z a",
    "2026-01-01T00:00:00.0000000000000000001Z a",
    "2026-01-01T......Z a",
    "9999-12-31T23:59:59.999Z zzzz",
    "2026-01-01T00:00:00.000Z ",
  ].map((place) => Buffer.from(place).toString("base64url")),
];

/** Changes a message in one place or a few, at random: values, fields, or the envelope around them. */
export function mutated(message: Message, random: () => number): Message {
  const copy = structuredClone(message);
  const rounds = 1 + Math.floor(random() * 3);
  for (let round = 0; round < rounds; round++) mutateOnce(copy, random);
  return copy;
}

function mutateOnce(message: Message, random: () => number): void {
  const kind = random();
  if (kind < 0.06) message.params = pick(HOSTILE_VALUES, random);
  else if (kind < 0.09) message.method = pick(HOSTILE_VALUES, random);
  else if (kind < 0.12)
    message[pick(["jsonrpc", "result", "error", "x"], random)] = pick(HOSTILE_VALUES, random);
  else if (isRecord(message.params)) mutateParams(message.params, random);
}

function mutateParams(params: Record<string, unknown>, random: () => number): void {
  const names = Object.keys(params);
  const kind = random();
  const name = names.length === 0 ? "x" : pick(names, random);
  if (kind < 0.1) delete params[name];
  else if (kind < 0.2)
    params[pick(["status", "limit", "offset", "cursor", "force", "x"], random)] = value(random);
  else if (kind < 0.35 && isRecord(params[name])) mutateParams(params[name], random);
  else params[name] = value(random);
}

function value(random: () => number): unknown {
  return structuredClone(pick(random() < 0.1 ? HOSTILE_CURSORS : HOSTILE_VALUES, random));
}

/** Damages the bytes of a frame: flipped, cut, doubled or put in. */
export function damaged(frame: Uint8Array, random: () => number): Uint8Array {
  const at = Math.floor(random() * frame.length);
  const bytes = Buffer.from(frame);
  const kind = random();
  if (kind < 0.5) {
    bytes[at] = Math.floor(random() * 256);
    return bytes;
  }
  if (kind < 0.7) return bytes.subarray(0, Math.max(1, at));
  if (kind < 0.85)
    return Buffer.concat([
      bytes.subarray(0, at),
      Buffer.from([Math.floor(random() * 256)]),
      bytes.subarray(at),
    ]);
  return Buffer.concat([bytes, bytes.subarray(at)]);
}

export function pick<T>(from: readonly T[], random: () => number): T {
  const chosen = from[Math.floor(random() * from.length)];
  if (chosen === undefined) throw new Error("there is nothing to pick from");
  return chosen;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
