import { Packr } from "msgpackr";
import { pick } from "./mutations.ts";

/** Where free values may stand: the request around them, as text before and behind the value. */
interface Place {
  method: string;
  /** The params as a whole, or a member of theirs. */
  member: string | null;
}

const PLACES: Place[] = [
  { method: "heartbeat", member: "stats" },
  { method: "heartbeats", member: "chs" },
  { method: "agent.enroll", member: "heartbeat_config" },
  { method: "agent.enroll", member: "name" },
  { method: "agent.create", member: "identity_profile" },
  { method: "agent.update", member: "status" },
  { method: "board.create", member: "success_metrics" },
  { method: "agent.command", member: "args" },
  { method: "gateway.import", member: "agent_ids" },
  { method: "agent.list", member: null },
  { method: "agent.attach", member: null },
  { method: "subscribe", member: "since" },
  { method: "nothing", member: "x" },
];

const packr = new Packr({ useRecords: false });
const JSON_UNITS = [
  '""',
  "[]",
  "{}",
  "0",
  "-1",
  "null",
  "[[]]",
  '{"":{}}',
  '[0,"",{}]',
  '"\\u0000"',
  '"\\ud800"',
  '"\\u2028\\"\\\\"',
  "1e999",
  "9007199254740993",
  "0.1234567890123456789",
  `"${"a".repeat(200)}"`,
  `"${"\\u0001".repeat(50)}"`,
  `[${"[".repeat(20)}${"]".repeat(20)}]`,
];
const PACKED_UNITS: Uint8Array[] = [
  ...JSON_UNITS.map((unit) => packr.pack(JSON.parse(unit)).slice()),
  Uint8Array.of(0xc4, 0), // no bytes
  Uint8Array.of(0xc6, 0, 0, 0, 0),
  Uint8Array.of(0xd4, 0x72, 0x40),
  Uint8Array.of(0xd6, 0xff, 0, 0, 0, 0),
  Uint8Array.of(0xc7, 0, 1),
  Uint8Array.of(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
  Uint8Array.of(0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0),
  Uint8Array.of(0xdc, 0, 0),
  Uint8Array.of(0xde, 0, 0),
  Uint8Array.of(0x81, 0x01, 0x02),
  Uint8Array.of(0xa2, 0xc3, 0x28),
];
const CONTAINERS = ["list", "distinct keys", "one key", "depth"] as const;

/** A frame, and a few words about it. */
export interface Shape {
  about: string;
  frame: Uint8Array;
}

/** A request of about so many bytes that is made of very many of something, where its method takes a value. */
export function randomShape(codec: "json" | "msgpack", bytes: number, random: () => number): Shape {
  const place = pick(PLACES, random);
  const container = pick([...CONTAINERS], random);
  const unit =
    codec === "json" ? Buffer.from(pick(JSON_UNITS, random)) : Buffer.from(pick(PACKED_UNITS, random));
  const value = codec === "json" ? jsonOf(container, unit, bytes) : packedOf(container, unit, bytes);
  const frame = codec === "json" ? jsonRequest(place, value) : packedRequest(place, value);
  return {
    about: `${codec} ${bytes} B, ${place.method} ${place.member}: ${container} of ${unit.subarray(0, 24).toString("latin1")}`,
    frame,
  };
}

function jsonOf(container: (typeof CONTAINERS)[number], unit: Buffer, bytes: number): Buffer {
  const text = unit.toString();
  const repeat = (one: (place: number) => string) => {
    const parts: string[] = [];
    for (let length = 0; length < bytes; length += (parts.at(-1)?.length ?? 0) + 1)
      parts.push(one(parts.length));
    return parts.join(",");
  };
  if (container === "list") return Buffer.from(`[${repeat(() => text)}]`);
  if (container === "distinct keys") return Buffer.from(`{${repeat((i) => `"${i}k":${text}`)}}`);
  if (container === "one key") return Buffer.from(`{${repeat(() => `"k":${text}`)}}`);
  const depth = Math.floor(bytes / 2);
  return Buffer.from(`${"[".repeat(depth)}${text}${"]".repeat(depth)}`);
}

function packedOf(container: (typeof CONTAINERS)[number], unit: Buffer, bytes: number): Buffer {
  if (container === "depth") return Buffer.concat([Buffer.alloc(bytes, 0x91), unit]);
  const isMap = container !== "list";
  const parts: Buffer[] = [];
  let length = 0;
  for (let i = 0; length < bytes; i++) {
    const key = isMap ? packr.pack(container === "one key" ? "k" : `${i}k`).slice() : Buffer.alloc(0);
    parts.push(Buffer.from(key), unit);
    length += key.length + unit.length;
  }
  const head = Buffer.from([isMap ? 0xdf : 0xdd, 0, 0, 0, 0]);
  head.writeUInt32BE(parts.length / 2, 1);
  return Buffer.concat([head, ...parts]);
}

function jsonRequest({ method, member }: Place, value: Buffer): Buffer {
  const params =
    member === null ? value : Buffer.concat([Buffer.from(`{"${member}":`), value, Buffer.from("}")]);
  return Buffer.concat([
    Buffer.from(`{"id":"shape","method":"${method}","params":`),
    params,
    Buffer.from("}"),
  ]);
}

function packedRequest({ method, member }: Place, value: Buffer): Buffer {
  const text = (word: string) => packr.pack(word).slice();
  const params = member === null ? value : Buffer.concat([Buffer.from([0x81]), text(member), value]);
  return Buffer.concat([
    Buffer.from([0x83]),
    text("id"),
    text("shape"),
    text("method"),
    text(method),
    text("params"),
    params,
  ]);
}

/** A request of the same bytes that is one text. */
export function benignFrame(codec: "json" | "msgpack", bytes: number): Uint8Array {
  const message = { id: "shape", method: "nothing", params: { x: "a".repeat(bytes) } };
  return codec === "json" ? Buffer.from(JSON.stringify(message)) : packr.pack(message).slice();
}
