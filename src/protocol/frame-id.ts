import { endOfText, nextSign } from "./json-scan.ts";
import { isMessageId, type MessageId } from "./messages.ts";

/**
 * The id of a frame's one message, read from its bytes without decoding the rest, so that who sent too much is told so under
 * the id that it asked with. Null for a batch, and where there is no id that can be read.
 */
export function idInJson(frame: Uint8Array): MessageId | null {
  let depth = 0;
  for (let at = 0; at < frame.length; at++) {
    const byte = frame[at];
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (depth === 0 && byte === OPEN_BRACKET) return null;
      depth += 1;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1;
    else if (byte === QUOTE) {
      const start = at;
      at = endOfText(frame, at + 1);
      const colon = nextSign(frame, at + 1);
      if (depth === 1 && frame[colon] === COLON && textIn(frame, start, at + 1) === '"id"')
        return jsonIdAt(frame, nextSign(frame, colon + 1));
    }
  }
  return null;
}

function jsonIdAt(frame: Uint8Array, start: number): MessageId | null {
  let end = start + 1;
  if (frame[start] === QUOTE) end = endOfText(frame, start + 1) + 1;
  else while (end < frame.length && frame[end] !== COMMA && frame[end] !== CLOSE_BRACE) end++;
  if (end - start > LONGEST_WRITTEN) return null;
  try {
    const id: unknown = JSON.parse(textIn(frame, start, end));
    return isMessageId(id) ? id : null;
  } catch {
    return null;
  }
}

/** The same in MessagePack, where the id is among the first members, as every library writes it. */
export function idInMsgpack(frame: Uint8Array): MessageId | null {
  const first = frame[0] ?? 0;
  let at = first === 0xde ? 3 : first === 0xdf ? 5 : first >= 0x80 && first < 0x90 ? 1 : -1;
  if (at === -1) return null;
  // Members before the id that are short texts (`jsonrpc`, `method`) are passed.
  for (let member = 0; member < MEMBERS_BEFORE; member++) {
    const key = shortText(frame, at);
    if (key === undefined) return null;
    at += 1 + key.length;
    if (key === "id") return packedIdAt(frame, at);
    const value = shortText(frame, at);
    if (value === undefined) return null;
    at += 1 + value.length;
  }
  return null;
}

function packedIdAt(frame: Uint8Array, at: number): MessageId | null {
  const token = frame[at] ?? 0;
  if (token < 0x80) return token;
  const width = token === 0xcc ? 1 : token === 0xcd ? 2 : token === 0xce ? 4 : 0;
  if (width > 0) {
    let id = 0;
    for (let i = at + 1; i <= at + width; i++) id = id * 256 + (frame[i] ?? 0);
    return id;
  }
  const isLong = token === 0xd9;
  const start = isLong ? at + 2 : at + 1;
  const length = isLong ? (frame[at + 1] ?? 0) : token >= 0xa0 && token < 0xc0 ? token & 0x1f : -1;
  const id = length === -1 ? undefined : textIn(frame, start, start + length);
  return isMessageId(id) ? id : null;
}

/** Text of at most 31 characters of ASCII, as keys and names of methods are. */
function shortText(frame: Uint8Array, at: number): string | undefined {
  const token = frame[at] ?? 0;
  if (token < 0xa0 || token >= 0xc0) return undefined;
  return String.fromCharCode(...frame.subarray(at + 1, at + 1 + (token & 0x1f)));
}

const decoder = new TextDecoder();
const textIn = (frame: Uint8Array, start: number, end: number) => decoder.decode(frame.subarray(start, end));

const MEMBERS_BEFORE = 3;
/** Bytes of an id as JSON: each of its characters may be written as an escape of six. */
const LONGEST_WRITTEN = 1_000;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
