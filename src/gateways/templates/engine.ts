import { Liquid } from "liquidjs";

/** Characters that one template may have; the protocol takes half as many. */
const MOST_CHARACTERS = 200_000;

/** A Liquid engine that reaches no files and no prototypes, with the one filter of our own. */
export function createEngine(): Liquid {
  const liquid = new Liquid({
    // Includes and layouts look in here and nowhere else: there are no files to reach.
    templates: {},
    strictFilters: true,
    ownPropertyOnly: true,
    parseLimit: MOST_CHARACTERS,
  });
  liquid.registerFilter("shell_quote", (value: unknown) => shellQuoted(String(value)));
  return liquid;
}

/** A word as a shell takes it, whatever is in it. */
export function shellQuoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

const own = createEngine();

/**
 * Parses a template of our own, once; what it returns renders it. Only the values come from outside. It renders in the
 * caller's thread, so that our templates must do little with each value.
 */
export function compile(source: string): (variables: object) => string {
  const template = own.parse(source);
  return (variables) => String(own.renderSync(template, variables));
}
