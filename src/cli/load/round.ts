import { clientFrame } from "./frames.ts";

/** Heartbeats are numbered from here on, so that every number is ten digits as text, and four bytes as binary. */
export const FIRST_NUMBER = 1_000_000_000;
const DIGITS = Buffer.from(String(FIRST_NUMBER));
/** The same number as MessagePack has it: a mark, then the number, most significant byte first. */
const U32 = 0xce;
const BINARY = Buffer.from([U32, ...u32(FIRST_NUMBER)]);

/** Where a message that was encoded with FIRST_NUMBER has that number, and how it is written there. Throws if nowhere. */
function placeOf(encoded: Uint8Array): { at: number; isText: boolean } {
  const bytes = Buffer.from(encoded);
  const text = bytes.indexOf(DIGITS);
  if (text >= 0) return { at: text, isText: true };
  const binary = bytes.indexOf(BINARY);
  if (binary < 0) throw new Error(`the message does not hold the number ${FIRST_NUMBER}`);
  return { at: binary + 1, isText: false };
}

/** The number in a message, which lies in the bytes from `start` to `end`; NaN: it is another kind of message. */
export type NumberReader = (bytes: Buffer, start: number, end: number) => number;

/** Reads the numbers of messages that are like the one given, which holds FIRST_NUMBER, by comparing bytes. */
export function numberReader(like: Uint8Array): NumberReader {
  const { at, isText } = placeOf(like);
  return (bytes, start, end) => {
    if (end - start !== like.length) return Number.NaN;
    for (let position = 0; position < at; position++)
      if (bytes[start + position] !== like[position]) return Number.NaN;
    if (!isText) return bytes.readUInt32BE(start + at);
    let number = 0;
    for (let digit = start + at; digit < start + at + DIGITS.length; digit++)
      number = number * 10 + (bytes[digit] ?? 0) - 0x30;
    return number;
  };
}

/**
 * The frames that a socket sends in turn, one behind the other in one buffer, so that one write can carry many. Only their
 * numbers change, in place.
 */
export class Round {
  readonly #bytes: Buffer;
  /** Where each frame ends. */
  readonly #ends: number[] = [];
  readonly #numbersAt: number[] = [];
  readonly #isText: boolean;
  readonly #whole: readonly Buffer[];

  /** @param payloads each encoded with FIRST_NUMBER as its number; at least one, all of one codec */
  constructor(opcode: number, payloads: readonly Uint8Array[]) {
    const places = payloads.map(placeOf);
    const frames = payloads.map((payload) => clientFrame(opcode, payload));
    let end = 0;
    for (const [position, frame] of frames.entries()) {
      const place = places[position]?.at ?? 0;
      const head = frame.length - (payloads[position]?.length ?? 0);
      this.#numbersAt.push(end + head + place);
      end += frame.length;
      this.#ends.push(end);
    }
    this.#bytes = Buffer.concat(frames);
    this.#isText = places[0]?.isText ?? true;
    this.#whole = frames.map((_, position) => this.#slice(position, position + 1));
  }

  /** How many frames there are. */
  get length(): number {
    return this.#ends.length;
  }

  /** The frames from `first` up to `end`, numbered from `number` on. */
  numbered(first: number, end: number, number: number): Buffer {
    for (let position = first; position < end; position++)
      this.#write(this.#numbersAt[position] ?? 0, number + position - first);
    if (end - first === this.length) return this.#bytes;
    return (end - first === 1 ? this.#whole[first] : undefined) ?? this.#slice(first, end);
  }

  #slice(first: number, end: number): Buffer {
    return this.#bytes.subarray(this.#ends[first - 1] ?? 0, this.#ends[end - 1]);
  }

  #write(at: number, number: number): void {
    if (!this.#isText) {
      this.#bytes.writeUInt32BE(number, at);
      return;
    }
    let rest = number;
    for (let digit = at + DIGITS.length - 1; digit >= at; digit--) {
      this.#bytes[digit] = 0x30 + (rest % 10);
      rest = Math.trunc(rest / 10);
    }
  }
}

function u32(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
}
