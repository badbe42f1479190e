import { MAX_DEPTH, MAX_FRAME_DEPTH } from "./limits.ts";
import { Unfit } from "./unfit.ts";
import { isUtf8 } from "./utf8.ts";

const TOO_DEEP = new Unfit(`must not be nested deeper than ${MAX_DEPTH} levels`);
const TOO_WIDE = new Unfit("must be a whole number of at most 2^53 in size");
const EXTENSION = new Unfit("must be plain MessagePack: extension types are not supported");
const NOT_UTF8 = new Unfit("must be well-formed text: this is not UTF-8");
const BAD_KEY = new Unfit("must be a map whose keys are all text, in UTF-8");

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Decodes a frame that `isOddMsgpack` has called whole but odd: what no message may hold becomes `Unfit`, and the rest is
 * read as ever. It keeps no state and shares no memory with the frame.
 */
export function decodeLeniently(frame: Uint8Array): unknown {
  return new Reader(frame).value(0);
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value(depth: number): unknown {
    const token = this.#unsigned(1);
    if (token < 0x80) return token;
    if (token < 0x90) return this.#map(token & 0x0f, depth);
    if (token < 0xa0) return this.#array(token & 0x0f, depth);
    if (token < 0xc0) return this.#text(token & 0x1f) ?? NOT_UTF8;
    if (token >= 0xe0) return token - 0x100;
    if (token >= 0xd4 && token < 0xd9) return this.#extension(1 << (token - 0xd4));
    if (token >= 0xd9 && token < 0xdc) return this.#text(this.#unsigned(1 << (token - 0xd9))) ?? NOT_UTF8;
    if (token >= 0xde) return this.#map(this.#unsigned(2 << (token & 1)), depth);
    if (token >= 0xdc) return this.#array(this.#unsigned(2 << (token & 1)), depth);
    if (token >= 0xc7 && token < 0xca) return this.#extension(this.#unsigned(1 << (token - 0xc7)));
    if (token >= 0xc4 && token < 0xc7) return this.#take(this.#unsigned(1 << (token - 0xc4))).slice();
    if (token === 0xca) return this.#view.getFloat32(this.#skip(4));
    if (token === 0xcb) return this.#view.getFloat64(this.#skip(8));
    if (token >= 0xcc && token < 0xcf) return this.#unsigned(1 << (token - 0xcc));
    if (token === 0xcf) return whole(this.#view.getBigUint64(this.#skip(8)));
    if (token === 0xd0) return this.#view.getInt8(this.#skip(1));
    if (token === 0xd1) return this.#view.getInt16(this.#skip(2));
    if (token === 0xd2) return this.#view.getInt32(this.#skip(4));
    if (token === 0xd3) return whole(this.#view.getBigInt64(this.#skip(8)));
    return token === 0xc0 ? null : token === 0xc3;
  }

  #array(length: number, depth: number): unknown {
    if (depth === MAX_FRAME_DEPTH) return this.#pass(length);
    return Array.from({ length }, () => this.value(depth + 1));
  }

  #map(length: number, depth: number): unknown {
    if (depth === MAX_FRAME_DEPTH) return this.#pass(2 * length);
    const map = {};
    let isFit = true;
    for (let i = 0; i < length; i++) {
      const key = this.#key();
      const value = this.value(depth + 1);
      if (key === undefined) isFit = false;
      // Never by assignment, which for the key __proto__ would change what the object is.
      else Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
    }
    return isFit ? map : BAD_KEY;
  }

  #key(): string | undefined {
    const token = this.#bytes[this.#at] ?? 0;
    if (token >= 0xa0 && token < 0xc0) return this.#text(this.#unsigned(1) & 0x1f);
    if (token >= 0xd9 && token < 0xdc) return this.#text(this.#unsigned(1 << (this.#unsigned(1) - 0xd9)));
    this.#pass(1);
    return undefined;
  }

  /** Reads past so many values, however deep they are, and has nothing of them. */
  #pass(values: number): Unfit {
    for (let left = values; left > 0; left--) {
      const token = this.#bytes[this.#at] ?? 0;
      if (token >= 0x80 && token < 0xa0) {
        this.#skip(1);
        left += (token & 0x0f) * (token < 0x90 ? 2 : 1);
      } else if (token >= 0xdc && token < 0xe0) {
        this.#skip(1);
        left += this.#unsigned(2 << (token & 1)) * (token >= 0xde ? 2 : 1);
      } else this.value(MAX_FRAME_DEPTH);
    }
    return TOO_DEEP;
  }

  #text(length: number): string | undefined {
    const start = this.#skip(length);
    return isUtf8(this.#bytes, start, this.#at)
      ? utf8.decode(this.#bytes.subarray(start, this.#at))
      : undefined;
  }

  #extension(length: number): Unfit {
    this.#skip(1 + length);
    return EXTENSION;
  }

  #take(length: number): Uint8Array {
    const start = this.#skip(length);
    return this.#bytes.subarray(start, this.#at);
  }

  #unsigned(width: number): number {
    let number = 0;
    const start = this.#skip(width);
    for (let i = start; i < this.#at; i++) number = number * 256 + (this.#bytes[i] ?? 0);
    return number;
  }

  /** Where the bytes that are passed begin. */
  #skip(count: number): number {
    const start = this.#at;
    this.#at += count;
    return start;
  }
}

function whole(number: bigint): number | Unfit {
  const size = number < 0n ? -number : number;
  return size <= 2n ** 53n ? Number(number) : TOO_WIDE;
}
