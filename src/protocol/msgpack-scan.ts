import { type FrameBounds, NO_BOUNDS, TooMuch } from "./frame-bounds.ts";
import { MAX_FRAME_DEPTH } from "./limits.ts";
import { isUtf8 } from "./utf8.ts";

const NOTHING = new Uint8Array(0);
const PROTO = "__proto__";
const CHS = [0x63, 0x68, 0x73];

/**
 * Walks one MessagePack frame without building anything, in time that its bytes bound, however it is nested. The
 * decoder behind it recurses, and keeps state that a record definition (an extension) would change for every other
 * socket's frames, so only a frame that is not odd may reach it.
 *
 * @returns whether something in it is odd, and so for the lenient decoder: see `decodeLeniently`
 * @throws Error that says why it is no single whole value; `TooMuch` when it holds more values than the bounds allow
 */
export function isOddMsgpack(frame: Uint8Array, bounds: FrameBounds): boolean {
  return scan.isOdd(frame, bounds);
}

/** One frame's walk. Containers down to MAX_FRAME_DEPTH are told apart; below, it is only counted how many values are to come. */
class Scan {
  #isOdd = false;
  #bytes: Uint8Array = NOTHING;
  #bounds = NO_BOUNDS;
  #at = 0;
  #elements = 0;
  #channelNumbers = 0;
  #depth = 0;
  /** How many values each open container still awaits, whether it is a map, and whether it is an array of channels. */
  readonly #left = new Float64Array(MAX_FRAME_DEPTH + 1);
  readonly #isMap = new Uint8Array(MAX_FRAME_DEPTH + 1);
  readonly #isChs = new Uint8Array(MAX_FRAME_DEPTH + 1);
  /** Values that are to come below MAX_FRAME_DEPTH. */
  #deep = 0;
  #isAfterChs = false;

  isOdd(bytes: Uint8Array, bounds: FrameBounds): boolean {
    this.#bytes = bytes;
    this.#bounds = bounds;
    this.#isOdd = false;
    this.#at = 0;
    this.#elements = 0;
    this.#channelNumbers = 0;
    this.#depth = 0;
    this.#deep = 0;
    this.#isAfterChs = false;
    try {
      this.#run();
    } finally {
      this.#bytes = NOTHING;
    }
    return this.#isOdd;
  }

  #run(): void {
    this.#value(false);
    while (this.#deep > 0 || this.#depth > 0) {
      if (this.#deep > 0) this.#below();
      else if (this.#left[this.#depth] === 0) this.#depth -= 1;
      else {
        this.#left[this.#depth] = (this.#left[this.#depth] ?? 0) - 1;
        if (this.#isMap[this.#depth] === 1) this.#key();
        this.#value(false);
      }
    }
    if (this.#at < this.#bytes.length) throw new Error("there are bytes behind its value");
  }

  #below(): void {
    this.#deep -= 1;
    this.#value(true);
  }

  #value(isBelow: boolean): void {
    const isAfterChs = this.#isAfterChs;
    this.#isAfterChs = false;
    const token = this.#unsigned(1);
    if (token >= 0x80 && token < 0xa0) return this.#open(token & 0x0f, token < 0x90, isAfterChs, isBelow);
    if (token >= 0xdc && token < 0xe0)
      return this.#open(this.#unsigned(2 << (token & 1)), token >= 0xde, isAfterChs, isBelow);
    const isNumber = token < 0x80 || token >= 0xe0 || (token >= 0xca && token < 0xd4);
    this.#count(isNumber && !isBelow && this.#isChs[this.#depth] === 1);
    if (token < 0x80 || token >= 0xe0) return;
    if (token < 0xc0) this.#text(token & 0x1f);
    else if (token === 0xc1) throw new Error("it holds the byte 0xc1, which means nothing");
    else if (token < 0xc4)
      return; // nil, false, true
    else if (token < 0xc7)
      this.#skip(this.#unsigned(1 << (token - 0xc4))); // bytes
    else if (token < 0xca) this.#extension(this.#unsigned(1 << (token - 0xc7)));
    else if (token < 0xcc)
      this.#skip(4 << (token - 0xca)); // floats
    else if (token < 0xcf) this.#skip(1 << (token - 0xcc));
    else if (token === 0xcf) this.#wide(this.#unsigned(4));
    else if (token < 0xd3) this.#skip(1 << (token - 0xd0));
    else if (token === 0xd3) this.#wide(this.#unsigned(4) | 0);
    else if (token < 0xd9) this.#extension(1 << (token - 0xd4));
    else this.#text(this.#unsigned(1 << (token - 0xd9)));
  }

  #open(length: number, isMap: boolean, isChs: boolean, isBelow: boolean): void {
    this.#count(false);
    if (isBelow || this.#depth === MAX_FRAME_DEPTH) {
      this.#isOdd = true;
      this.#deep += isMap ? 2 * length : length;
      return;
    }
    this.#depth += 1;
    this.#left[this.#depth] = length;
    this.#isMap[this.#depth] = isMap ? 1 : 0;
    this.#isChs[this.#depth] = isChs && !isMap ? 1 : 0;
  }

  #count(isChannel: boolean): void {
    if (isChannel) {
      this.#channelNumbers += 1;
      if (this.#channelNumbers > this.#bounds.channelNumbers) throw new TooMuch(this.#bounds);
      return;
    }
    this.#elements += 1;
    if (this.#elements > this.#bounds.elements) throw new TooMuch(this.#bounds);
  }

  #key(): void {
    this.#count(false);
    const token = this.#bytes[this.#at] ?? 0;
    const isText = (token >= 0xa0 && token < 0xc0) || (token >= 0xd9 && token <= 0xdb);
    if (!isText) {
      // Whatever it is, it is counted and passed like a value; a container as a key goes the same way.
      this.#isOdd = true;
      this.#deep += 1;
      while (this.#deep > 0) this.#below();
      return;
    }
    this.#at += 1;
    const length = token < 0xc0 ? token & 0x1f : this.#unsigned(1 << (token - 0xd9));
    const start = this.#at;
    this.#text(length);
    this.#isAfterChs =
      length === CHS.length && CHS.every((byte, place) => this.#bytes[start + place] === byte);
    // The decoder renames this one, so it would be missed afterwards.
    if (length === PROTO.length && String.fromCharCode(...this.#bytes.subarray(start, this.#at)) === PROTO)
      this.#isOdd = true;
  }

  #text(length: number): void {
    const start = this.#at;
    this.#skip(length);
    if (!isUtf8(this.#bytes, start, this.#at)) this.#isOdd = true;
  }

  #extension(length: number): void {
    this.#isOdd = true;
    this.#skip(1);
    this.#skip(length);
  }

  /** The rest of a 64-bit number, by its upper half: a double holds it whole up to 2^53. */
  #wide(upper: number): void {
    this.#skip(4);
    if (upper > 0x1f_ffff || upper < -0x20_0000) this.#isOdd = true;
  }

  #unsigned(width: number): number {
    this.#skip(width);
    let number = 0;
    for (let i = this.#at - width; i < this.#at; i++) number = number * 256 + (this.#bytes[i] ?? 0);
    return number;
  }

  /** Lengths are believed only as far as the bytes go: nothing is set aside for them. */
  #skip(count: number): void {
    this.#at += count;
    if (this.#at > this.#bytes.length) throw new Error("it ends in the middle of a value");
  }
}

/** One for all frames: a walk is never interrupted, and there are very many of them. */
const scan = new Scan();
