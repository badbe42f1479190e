import { MAX_FRAME_DEPTH } from "../../protocol/limits.ts";

/**
 * What of a JSON value is kept: `all` of it; its `bytes`, unread; some fields of an object, each in its own way; or the
 * same of every element of an array and every value of an object. Where an array or an object is wanted and something else
 * is found, the value is null.
 */
export type Pick = "all" | "bytes" | { fields: Readonly<Record<string, Pick>> } | { each: Pick };

/** What may be kept. */
export interface PickBounds {
  /** Values in all, counted by their brackets and commas. */
  values: number;
  /** Bytes of one value that is kept as a whole: it is parsed in one go. */
  wholeBytes: number;
}
/** Values in one that is kept as a whole. */
const MOST_IN_WHOLE = 50_000;

/** Thrown for bytes that are no JSON, as far as they are looked at. Without a stack: a peer can cause many of them. */
export const NOT_JSON = Object.freeze({ name: "NotJson" });

/** Thrown when there is more to keep than the bounds allow. */
export class TooMuchJson extends Error {
  override name = "TooMuchJson";
}

/**
 * Reads from a JSON text (UTF-8) what is picked, and passes over the rest without building anything of it. Yields every few
 * thousand bytes, so that it can be run in slices. Keys `__proto__` are left out.
 *
 * @throws NOT_JSON, TooMuchJson
 */
export function* pickJson(bytes: Buffer, pick: Pick, bounds: PickBounds): Generator<void, unknown> {
  const picker = new Picker(bytes, bounds);
  const value = yield* picker.value(pick);
  if (picker.nextSign() !== undefined) throw NOT_JSON;
  return value;
}

/** Bytes between two yields. */
const STEP_BYTES = 16_384;

class Picker {
  readonly #bytes: Buffer;
  readonly #wholeBytes: number;
  #valuesLeft: number;
  #at = 0;
  /** Where the next yield is due. */
  #pauseAt = STEP_BYTES;
  /** What the value that was passed last holds. */
  #passedValues = 0;
  #passedDepth = 0;

  constructor(bytes: Buffer, { values, wholeBytes }: PickBounds) {
    this.#bytes = bytes;
    this.#valuesLeft = values;
    this.#wholeBytes = wholeBytes;
  }

  *value(pick: Pick): Generator<void, unknown> {
    const sign = this.nextSign();
    if (sign === undefined) throw NOT_JSON;
    if (typeof pick === "object") {
      if (sign === OPEN_BRACE) return yield* this.#object(pick);
      if (sign === OPEN_BRACKET && "each" in pick) return yield* this.#array(pick.each);
      yield* this.#pass();
      return null;
    }
    const start = this.#at;
    yield* this.#pass();
    return pick === "bytes" ? this.#bytes.subarray(start, this.#at) : this.#whole(start);
  }

  /** The next byte that is no white space, which is then the next to be read. Undefined at the end. */
  nextSign(): number | undefined {
    while (this.#at < this.#bytes.length && (this.#bytes[this.#at] ?? 0) <= SPACE) this.#at += 1;
    return this.#bytes[this.#at];
  }

  *#array(pick: Pick): Generator<void, unknown[]> {
    const elements: unknown[] = [];
    this.#at += 1;
    if (this.nextSign() === CLOSE_BRACKET) this.#at += 1;
    else
      do {
        this.#count(1);
        elements.push(yield* this.value(pick));
        if (this.#isDue()) yield;
      } while (this.#goesOn(CLOSE_BRACKET));
    return elements;
  }

  *#object(pick: Exclude<Pick, string>): Generator<void, Record<string, unknown>> {
    const found: Record<string, unknown> = {};
    this.#at += 1;
    if (this.nextSign() === CLOSE_BRACE) {
      this.#at += 1;
      return found;
    }
    do {
      const key = yield* this.#key();
      if (this.nextSign() !== COLON) throw NOT_JSON;
      this.#at += 1;
      const inner = "each" in pick ? pick.each : Object.hasOwn(pick.fields, key) && pick.fields[key];
      if (!inner || key === "__proto__") {
        if (this.nextSign() === undefined) throw NOT_JSON;
        yield* this.#pass();
      } else {
        this.#count(1);
        found[key] = yield* this.value(inner);
      }
      if (this.#isDue()) yield;
    } while (this.#goesOn(CLOSE_BRACE));
    return found;
  }

  *#key(): Generator<void, string> {
    if (this.nextSign() !== QUOTE) throw NOT_JSON;
    const start = this.#at;
    yield* this.#pass();
    return String(this.#whole(start));
  }

  /** Behind an element: whether another one follows. */
  #goesOn(end: number): boolean {
    const sign = this.nextSign();
    this.#at += 1;
    if (sign === COMMA) return true;
    if (sign === end) return false;
    throw NOT_JSON;
  }

  #whole(start: number): unknown {
    if (this.#at - start > this.#wholeBytes)
      throw new TooMuchJson(`one value has more than ${this.#wholeBytes} bytes`);
    if (this.#passedValues > MOST_IN_WHOLE)
      throw new TooMuchJson(`one value holds more than ${MOST_IN_WHOLE} others`);
    if (this.#passedDepth > MAX_FRAME_DEPTH)
      throw new TooMuchJson(`it is nested deeper than ${MAX_FRAME_DEPTH} levels`);
    this.#count(this.#passedValues);
    try {
      const value: unknown = JSON.parse(this.#bytes.toString("utf8", start, this.#at));
      return value;
    } catch {
      throw NOT_JSON;
    }
  }

  #count(values: number): void {
    this.#valuesLeft -= values;
    if (this.#valuesLeft < 0) throw new TooMuchJson("it holds too many values");
  }

  #isDue(): boolean {
    if (this.#at < this.#pauseAt) return false;
    this.#pauseAt = this.#at + STEP_BYTES;
    return true;
  }

  /** Passes over the value that begins here, whatever it is; only its texts and brackets are looked at. */
  *#pass(): Generator<void, void> {
    const bytes = this.#bytes;
    let depth = 0;
    let deepest = 0;
    let values = 0;
    let isInText = false;
    let at = this.#at;
    for (; at < bytes.length; at++) {
      if (at >= this.#pauseAt) {
        this.#pauseAt = at + STEP_BYTES;
        yield;
      }
      const byte = bytes[at] ?? 0;
      if (isInText) {
        if (byte === BACKSLASH) at += 1;
        else if (byte === QUOTE) {
          isInText = false;
          if (depth === 0) break;
        }
      } else if (byte === QUOTE) isInText = true;
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        depth += 1;
        values += 1;
        if (depth > deepest) deepest = depth;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        depth -= 1;
        if (depth <= 0) break;
      } else if (byte === COMMA) values += 1;
      else if (depth === 0 && isEndOfWord(bytes[at + 1])) break;
    }
    if (at >= bytes.length || depth < 0) throw NOT_JSON;
    this.#at = at + 1;
    this.#passedValues = values;
    this.#passedDepth = deepest;
  }
}

const isEndOfWord = (byte: number | undefined) =>
  byte === undefined || byte <= SPACE || byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET;

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
