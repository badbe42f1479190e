/** Line breaks of every kind (also those that only some programs take for one), other control characters, and blanks. */
const BREAKS = /[\p{Cc}\p{Zl}\p{Zp}\s]+/gu;

/**
 * A text as one line: what people and leads have written stands in a workspace file as a value, and must not begin a
 * heading, a list, a block of code or a line that programs look for.
 */
export function oneLine(text: string): string {
  return text.replace(BREAKS, " ").trim();
}

/** The same of all keys and values. */
export function oneLineEach(record: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [oneLine(key), oneLine(value)]));
}
