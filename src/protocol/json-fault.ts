import { type Fault, numberFault, within } from "./content.ts";
import { Unfit } from "./unfit.ts";

/** A free value's own nesting: an answer or a push that carries it adds its levels, and stays within MAX_DEPTH. */
const MAX_VALUE_DEPTH = 16;

export const STORABLE = "must be well-formed text without the character U+0000";

/** Whether Postgres can store it as text or JSON. No honest text has U+0000 or half a character. */
export function isStorable(text: string): boolean {
  return !text.includes("\u0000") && text.isWellFormed();
}

/** Whether it is an object as JSON has them, and not an array, bytes or anything else. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return !(value instanceof Uint8Array || value instanceof Unfit);
}

/**
 * The first thing that keeps a value from being JSON that can be stored, of at most `mostBytes` bytes when it is written
 * without white space; undefined when there is none. Nothing behind it is looked at, so that no value costs more than the
 * bytes that it may have.
 */
export function jsonFault(value: unknown, mostBytes: number): Fault | undefined {
  return new Walk(mostBytes).faultOf(value, 0);
}

class Walk {
  readonly #most: number;
  #left: number;

  constructor(mostBytes: number) {
    this.#most = mostBytes;
    this.#left = mostBytes;
  }

  faultOf(value: unknown, depth: number): Fault | undefined {
    switch (typeof value) {
      case "string":
        return this.#textFault(value);
      case "number":
        return numberFault(value) ?? this.#spend(String(value).length);
      case "boolean":
        return this.#spend(value ? 4 : 5);
      case "object":
        return value === null ? this.#spend(4) : this.#containerFault(value, depth);
      default:
        return { path: [], message: "must be a JSON value" };
    }
  }

  #containerFault(value: object, depth: number): Fault | undefined {
    if (value instanceof Unfit) return { path: [], message: value.message };
    if (value instanceof Uint8Array) return { path: [], message: "must be a JSON value, not bytes" };
    if (depth === MAX_VALUE_DEPTH)
      return { path: [], message: `must not be nested deeper than ${MAX_VALUE_DEPTH} levels` };
    return (
      this.#spend(2) ??
      (Array.isArray(value) ? this.#listFault(value, depth) : this.#objectFault(value, depth))
    );
  }

  #listFault(list: readonly unknown[], depth: number): Fault | undefined {
    for (let place = 0; place < list.length; place++) {
      const fault = (place === 0 ? undefined : this.#spend(1)) ?? this.faultOf(list[place], depth + 1);
      if (fault) return this.#at(place, fault);
    }
    return undefined;
  }

  #objectFault(value: object, depth: number): Fault | undefined {
    if (!isJsonObject(value)) return { path: [], message: "must be a JSON value" };
    let isFirst = true;
    for (const key in value) {
      const fault =
        (isFirst ? undefined : this.#spend(1)) ?? this.#keyFault(key) ?? this.faultOf(value[key], depth + 1);
      if (fault) return this.#at(key, fault);
      isFirst = false;
    }
    return undefined;
  }

  /** That the bytes have run out is of the whole value, and not of the part where they did. */
  #at(key: string | number, fault: Fault): Fault {
    return fault.message === this.#tooLarge ? fault : within(key, fault);
  }

  #keyFault(key: string): Fault | undefined {
    if (key === "__proto__") return { path: [], message: "must not be a member named __proto__" };
    return this.#textFault(key) ?? this.#spend(1);
  }

  #textFault(text: string): Fault | undefined {
    // Before it is written out: its bytes are at least as many as its characters.
    if (text.length > this.#left) return { path: [], message: this.#tooLarge };
    if (!isStorable(text)) return { path: [], message: STORABLE };
    return this.#spend(encoder.encode(JSON.stringify(text)).length);
  }

  #spend(bytes: number): Fault | undefined {
    this.#left -= bytes;
    return this.#left < 0 ? { path: [], message: this.#tooLarge } : undefined;
  }

  get #tooLarge(): string {
    return `must be at most ${this.#most} bytes as JSON`;
  }
}

const encoder = new TextEncoder();
