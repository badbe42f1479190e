/**
 * Reads heartbeats that say nothing but which and whose, straight from the bytes of their frame: nothing is made of them,
 * neither text nor objects. What is written in any other way than the usual is left to the codec.
 */

/** A bare heartbeat's numbers. One object serves for all frames. */
export interface BareBeat {
  n: number;
  ch: number;
}

/** Numbers of at most so many digits are exact. */
const MOST_DIGITS = 15;

const text = (value: string) => Uint8Array.from(value, (character) => character.charCodeAt(0));

const JSON_MARK = text('"jsonrpc":"2.0",');
const JSON_HEAD = text('"method":"heartbeat","params":{"n":');
const JSON_CH = text(',"ch":');
const JSON_END = text("}}");
const BRACE = 0x7b;
const ZERO = 0x30;
const NINE = 0x39;

/** `{"method":"heartbeat","params":{"n":7}}`, with or without a mark of JSON-RPC in front and a `ch` behind. */
export function readJsonBeat(frame: Uint8Array, into: BareBeat): boolean {
  if (frame[0] !== BRACE) return false;
  let at = follows(frame, 1, JSON_MARK) ? 1 + JSON_MARK.length : 1;
  if (!follows(frame, at, JSON_HEAD)) return false;
  at += JSON_HEAD.length;
  const nEnd = digitsEnd(frame, at);
  if (nEnd < 0) return false;
  const n = numberIn(frame, at, nEnd);
  let ch = 0;
  at = nEnd;
  if (follows(frame, at, JSON_CH)) {
    at += JSON_CH.length;
    const chEnd = digitsEnd(frame, at);
    if (chEnd < 0) return false;
    ch = numberIn(frame, at, chEnd);
    at = chEnd;
  }
  if (at + JSON_END.length !== frame.length || !follows(frame, at, JSON_END)) return false;
  into.n = n;
  into.ch = ch;
  return true;
}

const MAP_OF_1 = 0x81;
const MAP_OF_2 = 0x82;
const PACKED_HEAD = text("\x82\xa6method\xa9heartbeat\xa6params");
const PACKED_N = text("\xa1n");
const PACKED_CH = text("\xa2ch");

/** The same in MessagePack: a map of `method` and `params`, in that order, with whole numbers in their usual forms. */
export function readPackedBeat(frame: Uint8Array, into: BareBeat): boolean {
  if (!follows(frame, 0, PACKED_HEAD)) return false;
  let at = PACKED_HEAD.length;
  const members = frame[at];
  if (members !== MAP_OF_1 && members !== MAP_OF_2) return false;
  at += 1;
  if (!follows(frame, at, PACKED_N)) return false;
  at += PACKED_N.length;
  const nEnd = at + uintLength(frame, at);
  const n = uintIn(frame, at, nEnd);
  if (n < 0) return false;
  let ch = 0;
  at = nEnd;
  if (members === MAP_OF_2) {
    if (!follows(frame, at, PACKED_CH)) return false;
    at += PACKED_CH.length;
    const chEnd = at + uintLength(frame, at);
    ch = uintIn(frame, at, chEnd);
    if (ch < 0) return false;
    at = chEnd;
  }
  if (at !== frame.length) return false;
  into.n = n;
  into.ch = ch;
  return true;
}

function follows(frame: Uint8Array, at: number, bytes: Uint8Array): boolean {
  for (let position = 0; position < bytes.length; position++)
    if (frame[at + position] !== bytes[position]) return false;
  return true;
}

/** Where the digits that begin here end; -1 when they are no number that JSON allows, or too long a one. */
function digitsEnd(frame: Uint8Array, from: number): number {
  let end = from;
  for (let byte = frame[end] ?? 0; byte >= ZERO && byte <= NINE; byte = frame[end] ?? 0) end += 1;
  const digits = end - from;
  if (digits === 0 || digits > MOST_DIGITS) return -1;
  return frame[from] === ZERO && digits > 1 ? -1 : end;
}

function numberIn(frame: Uint8Array, from: number, end: number): number {
  let value = 0;
  for (let at = from; at < end; at++) value = value * 10 + ((frame[at] ?? 0) - ZERO);
  return value;
}

/** Bytes of the number that begins here: a small one is its own byte, larger ones have a mark in front. */
function uintLength(frame: Uint8Array, at: number): number {
  switch (frame[at]) {
    case 0xcc:
      return 2;
    case 0xcd:
      return 3;
    case 0xce:
      return 5;
    default:
      return 1;
  }
}

/** -1 when it is no whole number in one of these forms, or is cut off. */
function uintIn(frame: Uint8Array, from: number, end: number): number {
  if (end > frame.length) return -1;
  const first = frame[from] ?? 0;
  if (end === from + 1) return first < 0x80 ? first : -1;
  let value = 0;
  for (let at = from + 1; at < end; at++) value = value * 256 + (frame[at] ?? 0);
  return value;
}
