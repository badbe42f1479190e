import { MusterError } from "./errors.ts";
import { MAX_DEPTH } from "./limits.ts";
import { Unfit } from "./unfit.ts";

/** What is wrong with a value, and where in it. */
export interface Fault {
  path: (string | number)[];
  /** What would be right: "must be …". */
  message: string;
}

/** Whole numbers above it are not all there in JavaScript's numbers, so two peers could read two different ones. */
const GREATEST = 2 ** 53;
const ILL_FORMED = "must be well-formed text: it holds half of a surrogate pair";

/**
 * The first thing in a decoded value that no message may hold: half a character, a number that is not finite or is beyond
 * 2^53, the key `__proto__`, nesting beyond MAX_DEPTH, and what MessagePack has beyond JSON. Bytes pass: schemas say where
 * they may stand. Undefined when there is none.
 *
 * @param depth how deep the value itself stands
 */
export function contentFault(value: unknown, depth = 0): Fault | undefined {
  switch (typeof value) {
    case "string":
      return value.isWellFormed() ? undefined : fault(ILL_FORMED);
    case "number":
      return numberFault(value);
    case "boolean":
      return undefined;
    case "object":
      break;
    default:
      return fault(`must be of a type that JSON has, not ${typeof value}`);
  }
  if (value === null || value instanceof Uint8Array) return undefined;
  if (value instanceof Unfit) return fault(value.message);
  if (depth === MAX_DEPTH) return fault(`must not be nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) {
    for (let place = 0; place < value.length; place++) {
      const found = contentFault(value[place], depth + 1);
      if (found) return within(place, found);
    }
    return undefined;
  }
  if (!isPlainObject(value)) return fault("must be a plain object");
  for (const key in value) {
    if (key === "__proto__") return fault("must not have the key __proto__");
    if (!key.isWellFormed()) return fault(`must have well-formed keys: one holds half of a surrogate pair`);
    const found = contentFault(value[key], depth + 1);
    if (found) return within(key, found);
  }
  return undefined;
}

/** Throws `invalid_params` with the path of the first thing that no message may hold. */
export function assertContent(value: unknown): void {
  const found = contentFault(value);
  if (found) throw invalid([found]);
}

/** The error that tells of faults by their paths. */
export function invalid(faults: readonly Fault[]): MusterError {
  const issues = faults.map(({ path, message }) => ({
    path: path.map((part) => shortened(String(part), LONGEST_KEY)).join("."),
    message: shortened(message, LONGEST_MESSAGE),
  }));
  const said = issues.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  return new MusterError("invalid_params", said.join("; "), { issues });
}

/** Characters of a key and of an issue's words that an error repeats. */
const LONGEST_KEY = 100;
const LONGEST_MESSAGE = 500;

/** Text of bounded length, ended by an ellipsis where it was longer; never with half a character at its end. */
export function shortened(text: string, most: number): string {
  return text.length <= most ? text.toWellFormed() : `${text.slice(0, most - 1).toWellFormed()}…`;
}

/** Whether a number may stand in a message; its fault if not. */
export function numberFault(value: number): Fault | undefined {
  if (!Number.isFinite(value)) return fault("must be a finite number");
  return Math.abs(value) > GREATEST ? fault("must be a number of at most 2^53 in size") : undefined;
}

function isPlainObject(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

const fault = (message: string): Fault => ({ path: [], message });

/** The fault as seen from the container that has it under the key. */
export function within(key: string | number, { path, message }: Fault): Fault {
  return { path: [key, ...path], message };
}
