/** What a JSON text may hold. */
export interface JsonBounds {
  /** Values of every kind, and keys. */
  maxElements: number;
  /** Arrays and objects within one another; unset: as many as there may be elements. */
  maxDepth?: number;
  /** Numbers in arrays under the key `chs`, which are then not counted among the elements; unset: they are. */
  maxChannelNumbers?: number;
}

/**
 * Walks the bytes of a JSON text (UTF-8) and says what there is too much of, or null. It builds nothing, stops at the first
 * thing too many, and takes time that the bytes bound, whatever they are: whether they are JSON is for the parser to say.
 */
export function scanJson(
  bytes: Uint8Array,
  { maxElements, maxDepth = maxElements, maxChannelNumbers = -1 }: JsonBounds,
): string | null {
  let elements = 0;
  let channelNumbers = 0;
  let depth = 0;
  /** The depth inside an array of channels; -1 outside of one. */
  let chsDepth = -1;
  let isAfterChs = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte <= SPACE || byte === COMMA || byte === COLON) continue;
    if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      if (depth === chsDepth) chsDepth = -1;
      depth -= 1;
      continue;
    }
    if (byte === QUOTE) {
      const start = at + 1;
      at = endOfText(bytes, start);
      elements += 1;
      if (bytes[nextSign(bytes, at + 1)] === COLON && elements <= maxElements) {
        isAfterChs = maxChannelNumbers >= 0 && isChs(bytes, start, at);
        continue;
      }
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      elements += 1;
      depth += 1;
      if (depth > maxDepth) return `it is nested deeper than ${maxDepth} levels`;
      if (isAfterChs && byte === OPEN_BRACKET && chsDepth === -1) chsDepth = depth;
    } else {
      // A number or a word; of a number in an array of channels there may be more than of anything else.
      if (depth === chsDepth && byte >= MINUS && byte <= NINE) channelNumbers += 1;
      else elements += 1;
      at = endOfWord(bytes, at + 1) - 1;
    }
    isAfterChs = false;
    if (elements > maxElements) return `it holds more than ${maxElements} values and keys`;
    if (channelNumbers > maxChannelNumbers && channelNumbers > 0)
      return `it names more than ${maxChannelNumbers} channels`;
  }
  return null;
}

/**
 * Where the text that begins here ends: at its closing quote, or at the end of the bytes.
 *
 * @param from the byte behind the opening quote
 */
export function endOfText(bytes: Uint8Array, from: number): number {
  let at = from;
  for (; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
  return at;
}

/** Where the next sign that is no white space stands. */
export function nextSign(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && (bytes[at] ?? 0) <= SPACE) at++;
  return at;
}

function endOfWord(bytes: Uint8Array, from: number): number {
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte <= SPACE || byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET) return at;
    // Two values without anything between them are no JSON, and still two things to look at.
    if (byte === QUOTE || byte === OPEN_BRACE || byte === OPEN_BRACKET || byte === COLON) return at;
  }
  return bytes.length;
}

const isChs = (bytes: Uint8Array, start: number, end: number) =>
  end - start === 3 && bytes[start] === 0x63 && bytes[start + 1] === 0x68 && bytes[start + 2] === 0x73;

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
