import { type Context, type Emitter, type Liquid, toValue } from "liquidjs";

/**
 * What a value weighs: characters, list entries and keys, all that is in it, and as often as it is in it. Counting ends
 * where `most` is passed.
 */
export function weightOf(value: unknown, most: number): number {
  const open: unknown[] = [value];
  let weight = 0;
  while (open.length > 0 && weight <= most) {
    const next = open.pop();
    weight += 1;
    if (typeof next === "string") weight += next.length;
    else if (Array.isArray(next)) {
      // A long list is not gone into when its length alone is too much.
      if (weight + next.length > most) return weight + next.length;
      for (const entry of next) open.push(entry);
    } else if (typeof next === "object" && next !== null)
      for (const [key, inner] of Object.entries(next)) {
        weight += key.length;
        open.push(inner);
      }
  }
  return weight;
}

/**
 * Charges what every filter makes to the render's memory, LiquidJS' own filters and ours alike: not all count what they
 * make, and none counts what lists share. As nothing comes to be but by filters, ranges and captures, no value ever
 * holds more than `most`, and what turns one into text has a bound too.
 *
 * This matters more than a heap's own limit: one allocation far past it ends the whole process, not the thread.
 */
export function meterFilters(liquid: Liquid, most: number): void {
  for (const [name, filter] of Object.entries(liquid.filters)) {
    const { handler, raw } = typeof filter === "function" ? { handler: filter, raw: false } : filter;
    liquid.registerFilter(name, {
      raw,
      *handler(value: unknown, ...args: unknown[]): Generator<unknown, unknown, unknown> {
        const made = yield handler.call(this, value, ...args);
        this.context.memoryLimit.use(weightOf(made, most));
        return made;
      },
    });
  }
}

/** Charges the text that tags gather for themselves, as `capture` does, to the render's memory. */
export function meterCaptures(liquid: Liquid): void {
  const { renderer } = liquid;
  const render = renderer.renderTemplates.bind(renderer);
  renderer.renderTemplates = (templates, context, emitter) =>
    render(templates, context, emitter ?? new Gathering((length) => context.memoryLimit.use(length)));
}

/** Gathers text, and tells of each part's length before it is added. */
export class Gathering implements Emitter {
  buffer = "";
  readonly #before: (length: number) => void;

  constructor(before: (length: number) => void) {
    this.#before = before;
  }

  write(part: unknown): void {
    const text = textOf(part);
    this.#before(text.length);
    this.buffer += text;
  }
}

/** A value as a template shows it. */
function textOf(value: unknown): string {
  const plain: unknown = toValue(value);
  if (typeof plain === "string") return plain;
  if (plain === null || plain === undefined) return "";
  return Array.isArray(plain) ? plain.map(textOf).join("") : String(plain);
}

/** Has a render ask, between tags, whether it is still wanted, in place of looking at a clock. */
export function stopWhen(context: Context, check: () => void): void {
  context.renderLimit.check = check;
}
