import { createContext, Script } from "node:vm";
import { CaptureTag, type Context, Liquid } from "liquidjs";
import { GatewayError } from "../driver.ts";

const LIMITS = {
  templateCharacters: 200_000,
  /** What a template's filters, ranges and captures may make, in characters and list entries together. */
  madeCharacters: 2_000_000,
  resultCharacters: 500_000,
  milliseconds: 250,
} as const;

/** LiquidJS does not count what `capture` gathers, so captures of captures could double without end. */
class MeteredCaptureTag extends CaptureTag {
  override *render(context: Context): Generator<unknown, void, string> {
    yield* super.render(context);
    context.memoryLimit.use(String(context.bottom()[this.variable]).length);
  }
}

const liquid = new Liquid({
  // Includes and layouts look in here and nowhere else: there are no files to reach.
  templates: {},
  strictFilters: true,
  ownPropertyOnly: true,
  parseLimit: LIMITS.templateCharacters,
  renderLimit: LIMITS.milliseconds,
  memoryLimit: LIMITS.madeCharacters,
});
liquid.registerTag("capture", MeteredCaptureTag);
liquid.registerFilter("shell_quote", (value: unknown) => shellQuoted(String(value)));

/** A word as a shell takes it, whatever is in it. */
export function shellQuoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/**
 * LiquidJS looks at its time limit between tags only; one filter over a long or nested list can run for minutes. Inside
 * a vm call V8 itself ends whatever runs too long, also in functions from outside the vm.
 */
const sandbox: { run: () => string } = { run: () => "" };
const context = createContext(sandbox);
const call = new Script("run()");

function withinTime(run: () => string): string {
  sandbox.run = run;
  return call.runInContext(context, { timeout: LIMITS.milliseconds });
}

/** Parses a template of our own, once; what it returns renders it. Only the values come from outside. */
export function compile(source: string): (variables: object) => string {
  const template = liquid.parse(source);
  // No limit of time: a machine that stands still for a moment must not spoil a template that is known to end.
  return (variables) =>
    String(liquid.renderSync(template, variables, { renderLimit: Number.POSITIVE_INFINITY }));
}

/**
 * Renders a Liquid template that may be hostile: no files, no code, bounded time, memory and length.
 *
 * @param title how an error names the template
 * @throws GatewayError, permanent, saying which template and what is wrong with it
 */
export function renderHostile(title: string, source: string, variables: object): string {
  try {
    const text = withinTime(() => liquid.parseAndRenderSync(source, variables));
    if (text.length > LIMITS.resultCharacters)
      throw new Error(`its result is longer than ${LIMITS.resultCharacters} characters`);
    return text;
  } catch (cause) {
    throw new GatewayError(`${title} cannot be rendered: ${reason(cause)}`, { transient: false, cause });
  }
}

function reason(cause: unknown): string {
  // The timeout's error comes from the vm's own realm: not an instance of this one's Error.
  const { code, message }: { code?: unknown; message?: unknown } = Object(cause);
  if (code === "ERR_SCRIPT_EXECUTION_TIMEOUT") return `it takes longer than ${LIMITS.milliseconds} ms`;
  return String(message ?? cause)
    .split("\n", 1)
    .join("")
    .slice(0, 300);
}
