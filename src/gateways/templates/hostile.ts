import { Context, toValueSync } from "liquidjs";
import { createEngine } from "./engine.ts";
import { Gathering, meterCaptures, meterFilters, stopWhen } from "./meter.ts";
import { type Rendered, TAKES_LONGER } from "./render-task.ts";

const LIMITS = {
  /** What a template's filters, ranges and captures may make, in characters, list entries and keys together. */
  made: 300_000,
  resultCharacters: 500_000,
  /** Of an error's words, which may quote the template. */
  complaintCharacters: 300,
} as const;

const liquid = createEngine();
meterFilters(liquid, LIMITS.made);
meterCaptures(liquid);

/**
 * Renders a Liquid template that may be hostile: no files, no code, bounded memory and length. For a thread that can be
 * ended: one filter over a long list can take minutes, and only what happens between tags is asked for its time.
 *
 * @param isOver whether the time is over; asked between tags
 */
export function renderHostile(source: string, variables: object, isOver: () => boolean): Rendered {
  try {
    const context = new Context(
      variables,
      liquid.options,
      { sync: true, memoryLimit: LIMITS.made },
      { liquid },
    );
    stopWhen(context, () => {
      if (isOver()) throw new Error(TAKES_LONGER);
    });
    const result = new Gathering((length) => {
      if (result.buffer.length + length > LIMITS.resultCharacters)
        throw new Error(`its result is longer than ${LIMITS.resultCharacters} characters`);
    });
    toValueSync(liquid.renderer.renderTemplates(liquid.parse(source), context, result));
    return { text: result.buffer };
  } catch (cause) {
    return { problem: wordsOf(cause) };
  }
}

function wordsOf(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  const [line = ""] = message.slice(0, LIMITS.complaintCharacters).split("\n", 1);
  return line.toWellFormed();
}
