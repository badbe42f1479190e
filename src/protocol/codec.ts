// Not the package's main entry: that adds native code which cuts strings out of one large string, so a short one that is
// kept would keep its whole frame in memory.
import { Packr } from "msgpackr/pack";
import { Unpackr } from "msgpackr/unpack";
import { MusterError } from "./errors.ts";
import { MAX_DEPTH } from "./limits.ts";
import { checkMsgpack } from "./msgpack-check.ts";

/** How messages become frames and back. Both codecs carry the same messages; MessagePack carries bytes too. */
export interface Codec {
  readonly name: "json" | "msgpack";
  /** The WebSocket subprotocol that asks for it. */
  readonly subprotocol: "muster.v1.json" | "muster.v1.msgpack";
  /** Whether its frames are binary (`Uint8Array`) or text (`string`). */
  readonly binary: boolean;
  /**
   * One message or a batch (an array of messages) as a frame. Undefined properties are left out. A binary frame can be a
   * view into a larger buffer: copy it to keep it for long.
   */
  encode(message: unknown): string | Uint8Array;
  /** The frame of the notification `ack`, of which there are as many as of all others together. */
  encodeAck(n: number): string | Uint8Array;
  /**
   * The plain value (see `assertPlain`) of a frame from anywhere. It shares no memory with the frame.
   * Throws MusterError `parse_error`.
   */
  decode(frame: string | Uint8Array): unknown;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const LONE_SURROGATE = /\p{Surrogate}/u;

/** JSON text, each message marked as JSON-RPC 2.0. */
export const jsonCodec: Codec = {
  name: "json",
  subprotocol: "muster.v1.json",
  binary: false,
  encode: (message) => JSON.stringify(Array.isArray(message) ? message.map(marked) : marked(message)),
  encodeAck: (n) => `{"jsonrpc":"2.0","method":"ack","params":{"n":${n}}}`,
  decode(frame) {
    const text = typeof frame === "string" ? frame : textOf(frame);
    if (text === "") throw bad("an empty frame holds no message");
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      // The parser's own words quote the frame, which can hold a token.
      throw bad("the frame is not valid JSON");
    }
    if (countMembers(value) !== membersWritten(text)) throw bad("an object has the same key twice");
    return value;
  },
};

// Options that the library's types lack need a variable of their own: `skipValues` leaves undefined out, as JSON does.
const PLAIN = { useRecords: false, skipValues: [undefined], encodeUndefinedAsNil: true };
const packr = new Packr(PLAIN);
const unpackr = new Unpackr({
  useRecords: false,
  mapsAsObjects: true,
  copyBuffers: true,
  int64AsType: "number",
});

/** Plain MessagePack: no extension types, so any language's library reads and writes it. */
export const msgpackCodec: Codec = {
  name: "msgpack",
  subprotocol: "muster.v1.msgpack",
  binary: true,
  encode: (message) => packr.encode(message),
  encodeAck: (n) => packr.encode({ method: "ack", params: { n } }),
  decode(frame) {
    if (typeof frame === "string") throw bad("a text frame where MessagePack is spoken; send binary frames");
    if (frame.length === 0) throw bad("an empty frame holds no message");
    let members: number;
    let value: unknown;
    try {
      members = checkMsgpack(frame);
      value = unpackr.decode(frame);
    } catch (error) {
      throw bad(`the frame is not valid MessagePack: ${error instanceof Error ? error.message : error}`);
    }
    if (countMembers(value) !== members) throw bad("a map has the same key twice");
    return value;
  },
};

/** The codec that a WebSocket subprotocol asks for; undefined when it is none of ours. */
export function codecFor(subprotocol: string): Codec | undefined {
  return [jsonCodec, msgpackCodec].find((codec) => codec.subprotocol === subprotocol);
}

/**
 * Holds a value to what messages are made of: null, booleans, finite numbers, well-formed text, bytes (`Uint8Array`),
 * arrays and plain objects of these, no deeper than MAX_DEPTH, without the keys by which JavaScript objects are attacked.
 * Throws MusterError `parse_error`.
 */
export function assertPlain(value: unknown): void {
  countMembers(value);
}

/** Asserts that a value is plain, and counts the members of all its objects. */
function countMembers(value: unknown, depth = 0): number {
  switch (typeof value) {
    case "string":
      if (LONE_SURROGATE.test(value)) throw bad("text holds half of a surrogate pair");
      return 0;
    case "number":
      if (!Number.isFinite(value)) throw bad("numbers must be finite");
      return 0;
    case "boolean":
      return 0;
    case "object":
      break;
    default:
      throw bad(`a value of type ${typeof value} is not allowed`);
  }
  if (value === null || value instanceof Uint8Array) return 0;
  if (depth === MAX_DEPTH) throw bad(`values are nested deeper than ${MAX_DEPTH} levels`);
  let members = 0;
  if (Array.isArray(value)) {
    for (const item of value) members += countMembers(item, depth + 1);
    return members;
  }
  if (!isPlainObject(value)) throw bad("only plain objects are allowed");
  for (const key in value) {
    if (key === "__proto__" || key === "constructor" || key === "prototype")
      throw bad(`the key ${key} is not allowed`);
    if (LONE_SURROGATE.test(key)) throw bad("a key holds half of a surrogate pair");
    members += 1 + countMembers(value[key], depth + 1);
  }
  return members;
}

function isPlainObject(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** How many members the objects of valid JSON are written with: its colons outside of text. */
function membersWritten(json: string): number {
  let members = 0;
  for (let i = 0; i < json.length; i++) {
    const character = json.charCodeAt(i);
    if (character === COLON) members++;
    else if (character === QUOTE)
      for (i++; json.charCodeAt(i) !== QUOTE; i++) if (json.charCodeAt(i) === BACKSLASH) i++;
  }
  return members;
}

const COLON = 0x3a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

function marked(message: unknown): unknown {
  return typeof message === "object" && message !== null ? { jsonrpc: "2.0", ...message } : message;
}

function textOf(frame: Uint8Array): string {
  try {
    return utf8.decode(frame);
  } catch {
    throw bad("the frame is not UTF-8");
  }
}

const bad = (why: string) => new MusterError("parse_error", `Not a message: ${why}.`);
