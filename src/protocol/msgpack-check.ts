import { MAX_DEPTH } from "./limits.ts";

/** What is being walked. One frame at a time, never across an await, so module state costs no allocation. */
const NOTHING = new Uint8Array(0);
let bytes: Uint8Array = NOTHING;
let at = 0;
let members = 0;

const utf8 = new TextDecoder("utf-8", { fatal: true });
const PROTO = "__proto__";

/**
 * Walks one MessagePack frame without building anything, and throws an Error that says what is wrong with it unless it
 * is exactly one plain value: whole, nothing behind it, valid UTF-8, text as keys, no extension types, no deeper than
 * MAX_DEPTH, whole numbers that a double holds. The decoder behind it is lenient and keeps state that a record definition
 * (an extension) would change for every other socket's frames, so only what passed here may reach it.
 *
 * Returns how many members all maps of the frame say they have: a decoded value with fewer had duplicate keys.
 */
export function checkMsgpack(frame: Uint8Array): number {
  bytes = frame;
  at = 0;
  members = 0;
  try {
    value(0);
    if (at < frame.length) throw new Error("there are bytes behind its value");
    return members;
  } finally {
    bytes = NOTHING;
  }
}

function value(depth: number): void {
  const token = unsigned(1);
  if (token < 0x80 || token >= 0xe0) return; // a small number
  if (token < 0x90) map(token & 0x0f, depth + 1);
  else if (token < 0xa0) array(token & 0x0f, depth + 1);
  else if (token < 0xc0) text(token & 0x1f);
  else if (token === 0xc1) throw new Error("it holds the byte 0xc1, which means nothing");
  else if (token < 0xc4)
    return; // nil, false, true
  else if (token < 0xc7)
    skip(unsigned(1 << (token - 0xc4))); // bytes
  else if (token < 0xca) throw extension();
  else if (token < 0xcc)
    skip(4 << (token - 0xca)); // floats
  else if (token < 0xcf) skip(1 << (token - 0xcc));
  else if (token === 0xcf) wide(unsigned(4));
  else if (token < 0xd3) skip(1 << (token - 0xd0));
  else if (token === 0xd3) wide(unsigned(4) | 0);
  else if (token < 0xd9) throw extension();
  else if (token < 0xdc) text(unsigned(1 << (token - 0xd9)));
  else if (token < 0xde) array(unsigned(2 << (token - 0xdc)), depth + 1);
  else map(unsigned(2 << (token - 0xde)), depth + 1);
}

function array(length: number, depth: number): void {
  enter(depth);
  for (let i = 0; i < length; i++) value(depth);
}

function map(length: number, depth: number): void {
  enter(depth);
  members += length;
  for (let i = 0; i < length; i++) {
    key();
    value(depth);
  }
}

/** Lengths are believed only as far as the bytes go: nothing is set aside for them. */
function enter(depth: number): void {
  if (depth > MAX_DEPTH) throw new Error(`it is nested deeper than ${MAX_DEPTH} levels`);
}

function key(): void {
  const token = unsigned(1);
  const length =
    token >= 0xa0 && token < 0xc0
      ? token & 0x1f
      : token >= 0xd9 && token <= 0xdb
        ? unsigned(1 << (token - 0xd9))
        : -1;
  if (length === -1) throw new Error("a map has a key that is not text");
  const start = at;
  text(length);
  // The decoder renames this one, so it would be missed afterwards.
  if (length === PROTO.length && utf8.decode(bytes.subarray(start, at)) === PROTO)
    throw new Error(`the key ${PROTO} is not allowed`);
}

function text(length: number): void {
  const start = at;
  skip(length);
  for (let i = start; i < at; i++) {
    if ((bytes[i] ?? 0) < 0x80) continue;
    try {
      utf8.decode(bytes.subarray(start, at));
    } catch {
      throw new Error("it holds text that is not UTF-8");
    }
    return;
  }
}

/** The rest of a 64-bit number, by its upper half: a double holds it whole up to 2^53. */
function wide(upper: number): void {
  skip(4);
  if (upper > 0x1f_ffff || upper < -0x20_0000) throw new Error("it holds a whole number beyond 2^53");
}

function unsigned(width: number): number {
  skip(width);
  let number = 0;
  for (let i = at - width; i < at; i++) number = number * 256 + (bytes[i] ?? 0);
  return number;
}

function skip(count: number): void {
  at += count;
  if (at > bytes.length) throw ended();
}

const extension = () => new Error("extension types are not supported, plain MessagePack only");
const ended = () => new Error("it ends in the middle of a value");
