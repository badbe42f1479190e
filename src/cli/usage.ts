import { parseArgs } from "node:util";
import type { ArgsDef } from "citty";

/** The command line cannot mean anything: exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
  /** The verb whose help tells what would be right, as it is called; undefined: the one that was called. */
  readonly verb: string | undefined;

  constructor(message: string, verb?: string) {
    super(message);
    this.verb = verb;
  }
}

/**
 * Holds a command line to what its command defines; the parser that fills the arguments in would let unknown flags and
 * further words pass. Throws UsageError.
 */
export function checkArguments(rawArgs: string[], definitions: ArgsDef): void {
  const named = Object.entries(definitions).filter(([, { type }]) => type !== "positional");
  const options = Object.fromEntries(
    named.map(([name, { type }]) => [name, { type: type === "boolean" ? "boolean" : "string" } as const]),
  );
  const negated = new Set(named.filter(([, { type }]) => type === "boolean").map(([name]) => `--no-${name}`));
  const words = Object.entries(definitions).filter(([, { type }]) => type === "positional");
  const { positionals, values } = strict(
    rawArgs.filter((argument) => !negated.has(argument)),
    options,
  );
  for (const [index, [name, { required }]] of words.entries())
    if (required !== false && positionals[index] === undefined)
      throw new UsageError(`${name.toUpperCase()} is missing`);
  for (const [name, { required }] of named)
    if (required === true && !values[name]) throw new UsageError(`--${name} is missing`);
  const extra = positionals[words.length];
  if (extra !== undefined) throw new UsageError(`unexpected argument ${extra}`);
}

function strict(args: string[], options: Record<string, { type: "boolean" | "string" }>) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (error) {
    // The parser's first sentence says it; the others are about the parser.
    const message = error instanceof Error ? error.message : String(error);
    throw new UsageError(message.split(/\.\s|\n/, 1).join(""));
  }
}
