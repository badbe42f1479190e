/** Element types that come in arrays: the type of the array, and how an element is written and read. */
const ELEMENTS = {
  bool: { array: 1000, write: (x: unknown) => (x ? "t" : "f"), read: (text: string) => text === "t" },
  bytea: { array: 1001, write: writeBytes, read: (text: string) => Buffer.from(text.slice(2), "hex") },
  int4: { array: 1007, write: String, read: Number },
  int8: { array: 1016, write: String, read: Number },
  text: { array: 1009, write: String, read: String },
  float8: { array: 1022, write: String, read: Number },
  timestamptz: { array: 1185, write: writeTime, read: (text: string) => new Date(text) },
  uuid: { array: 2951, write: String, read: String },
  jsonb: { array: 3807, write: (x: unknown) => JSON.stringify(x), read: (text: string) => JSON.parse(text) },
};

/**
 * The arrays that queries send and get, for the Postgres client's `types`.
 *
 * The client could ask each new connection which arrays there are, but when that connection is lost meanwhile it throws
 * where nobody can catch. For the same reason its `array` helper knows types only by number here; plain lists with a cast
 * (`${ids}::uuid[]`) need no helper. Lists that begin with a boolean or a Date do: the client would take them for a single
 * one, so they go as `array(list, ARRAY_OF.bool)`.
 */
export const arrayTypes = Object.fromEntries(
  Object.entries(ELEMENTS).map(([name, { array, write, read }]) => [
    `${name}_array`,
    {
      to: array,
      from: [array],
      serialize: (list: unknown) => (Array.isArray(list) ? writeArray(list, write) : String(list)),
      parse: (text: string) => readArray(text).map((element) => (element === null ? null : read(element))),
    },
  ]),
);

/** Numbers of the array types, for the client's `array` helper. */
export const ARRAY_OF = { bool: ELEMENTS.bool.array, timestamptz: ELEMENTS.timestamptz.array } as const;

function writeArray(list: readonly unknown[], write: (element: unknown) => string): string {
  const elements = list.map((element) =>
    element === null || element === undefined ? "null" : `"${escaped(write(element))}"`,
  );
  return `{${elements.join(",")}}`;
}

/** To look is much cheaper than to replace, and there is seldom anything to. */
function escaped(text: string): string {
  return text.includes('"') || text.includes("\\") ? text.replace(/[\\"]/g, "\\$&") : text;
}

/** Long arrays are of numbers, and simple to take apart. */
const NUMBERS = /^\{[\d.,-]*\}$/;

/** Elements of a one-dimensional array as Postgres writes it. */
function readArray(text: string): (string | null)[] {
  if (NUMBERS.test(text)) return text === "{}" ? [] : text.slice(1, -1).split(",");
  const elements = text.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|([^",]+)/gs);
  return [...elements].map(([, quoted, plain]) => {
    if (quoted !== undefined) return quoted.replace(/\\(.)/gs, "$1");
    return plain === undefined || plain === "NULL" ? null : plain;
  });
}

function writeBytes(value: unknown): string {
  return value instanceof Uint8Array ? `\\x${Buffer.from(value).toString("hex")}` : String(value);
}

function writeTime(value: unknown): string {
  return value instanceof Date ? value.toISOString() : String(value);
}
