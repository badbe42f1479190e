import { type Fault, shortened, within } from "../protocol/content.ts";
import { MusterError, type Reason } from "../protocol/errors.ts";
import { MAX_FRAME_DEPTH } from "../protocol/limits.ts";
import { Unfit } from "../protocol/unfit.ts";

/*
 * What checks the values that a server sent. A guard looks at what the SDK and its callers cannot do without, and lets
 * pass what it does not know: further fields, statuses, kinds. So a client of today works with a server of tomorrow.
 */

/** What is wrong with a value, if anything. */
export type Guard = (value: unknown) => Fault | undefined;

/** A guard, and the type that a value which passes it is taken for. */
export interface Shape<T> {
  (value: unknown): Fault | undefined;
  /** Never set: it only carries the type. */
  readonly type?: T;
}

/**
 * Throws unless the value has the fields and is plain all through, so that it can be handed to the program.
 *
 * @param reason of the MusterError
 * @param why begins its message, which goes on with what is wrong and where
 */
export function assertShape<T>(
  reason: Reason,
  why: string,
  value: unknown,
  shape: Shape<T>,
): asserts value is T {
  const found = shape(value) ?? plainFault(value, 0);
  if (found) throw errorOf(reason, why, found);
}

/** The same for what goes no further as it is: only its fields are looked at. */
export function assertFields<T>(
  reason: Reason,
  why: string,
  value: unknown,
  shape: Shape<T>,
): asserts value is T {
  const found = shape(value);
  if (found) throw errorOf(reason, why, found);
}

export function hasFields<T>(value: unknown, shape: Shape<T>): value is T {
  return shape(value) === undefined;
}

/** Characters of a place that a message repeats. */
const LONGEST_PLACE = 200;

function errorOf(reason: Reason, why: string, { path, message }: Fault): MusterError {
  const place = path.length === 0 ? "" : `${shortened(path.join("."), LONGEST_PLACE)} `;
  return new MusterError(reason, `${why}: ${place}${message}`);
}

/** An object with these fields, and any others. */
export function shape<T>(fields: { readonly [K in keyof NoInfer<T>]?: Guard }): Shape<T> {
  const guards = Object.entries<Guard | undefined>(fields);
  return (value) => {
    if (!isObject(value)) return fault("must be an object");
    for (const [name, guard] of guards) {
      const found = guard?.(value[name]);
      if (found) return within(name, found);
    }
    return undefined;
  };
}

export function list(guard: Guard): Guard {
  return (value) => {
    if (!Array.isArray(value)) return fault("must be an array");
    for (let place = 0; place < value.length; place++) {
      const found = guard(value[place]);
      if (found) return within(place, found);
    }
    return undefined;
  };
}

/** It may be missing. */
export function optional(guard: Guard): Guard {
  return (value) => (value === undefined ? undefined : guard(value));
}

export function nullable(guard: Guard): Guard {
  return (value) => (value === null ? undefined : guard(value));
}

export const record: Guard = (value) => (isObject(value) ? undefined : fault("must be an object"));
export const text: Guard = (value) => (typeof value === "string" ? undefined : fault("must be text"));
export const flag: Guard = (value) =>
  typeof value === "boolean" ? undefined : fault("must be true or false");
export const finite: Guard = (value) =>
  Number.isFinite(value) ? undefined : fault("must be a finite number");
/** What is counted up: versions, offsets, beats. */
export const count: Guard = (value) =>
  Number.isSafeInteger(value) && Number(value) >= 0 ? undefined : fault("must be a whole number from 0");
/** A bound of something that must go on. */
export const bound: Guard = (value) =>
  Number.isFinite(value) && Number(value) >= 1 ? undefined : fault("must be a number of at least 1");
export const instant: Guard = (value) =>
  typeof value === "string" && !Number.isNaN(Date.parse(value)) ? undefined : fault("must be a time");
export const only = (wanted: string | number | boolean): Guard => {
  return (value) => (value === wanted ? undefined : fault(`must be ${wanted}`));
};

export function isObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return !(value instanceof Uint8Array || value instanceof Unfit);
}

/**
 * The first thing that no program should be handed, wherever it stands: a key that would change a prototype where fields
 * are copied by assignment, a number that is none, what MessagePack has beyond JSON, and a depth that ends the stack.
 */
function plainFault(value: unknown, depth: number): Fault | undefined {
  if (typeof value === "number") return finite(value);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return undefined;
  if (value instanceof Unfit) return fault(value.message);
  if (depth === MAX_FRAME_DEPTH) return fault(`must not be nested deeper than ${MAX_FRAME_DEPTH} levels`);
  for (const [key, inner] of Object.entries(value)) {
    const found = key === "__proto__" ? fault("must not be a key") : plainFault(inner, depth + 1);
    if (found) return within(key, found);
  }
  return undefined;
}

const fault = (message: string): Fault => ({ path: [], message });
