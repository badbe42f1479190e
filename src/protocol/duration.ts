import { z } from "zod";
import { wholeNumber } from "../whole-number.ts";

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const PART = /(\d+)(ms|s|m|h|d)/g;
const WHOLE = /^(?:\d+(?:ms|s|m|h|d))+$/;

/** Milliseconds of a duration like `250ms`, `30s`, `10m` or `1h30m`; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  if (text.length > 64 || !WHOLE.test(text)) return undefined;
  let total = 0;
  for (const [, digits, unit] of text.matchAll(PART)) {
    const count = wholeNumber(digits);
    if (count === undefined) return undefined;
    total += count * UNIT_MS[unit as keyof typeof UNIT_MS];
  }
  return Number.isSafeInteger(total) ? total : undefined;
}

/** A duration as text, read as milliseconds. */
export const durationSchema = z.string().transform((text, context) => {
  const milliseconds = parseDuration(text.trim());
  if (milliseconds !== undefined) return milliseconds;
  context.issues.push({
    code: "custom",
    input: text,
    message: "must be a duration like 250ms, 30s, 10m or 1h30m",
  });
  return z.NEVER;
});
