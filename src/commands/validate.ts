import type { z } from "zod";
import { assertContent, invalid, shortened } from "../protocol/content.ts";

/** Issues that an error tells. */
const MOST_ISSUES = 20;
/** Keys that an issue names. */
const MOST_KEYS = 5;

/**
 * Validates params against their schema: first that they hold only what a message may hold, then what the method asks for.
 * Throws `invalid_params` with the path and the message of the issues, the first of them when there are many.
 */
export function validate<S extends z.ZodType>(schema: S, params: unknown): z.output<S> {
  assertContent(params);
  const parsed = schema.safeParse(params);
  if (parsed.success) return parsed.data;
  throw invalid(parsed.error.issues.slice(0, MOST_ISSUES).map(faultOf));
}

function faultOf(issue: z.core.$ZodIssue) {
  const path = issue.path.map((part) => (typeof part === "symbol" ? String(part) : part));
  return { path, message: issue.code === "unrecognized_keys" ? unknownKeys(issue.keys) : issue.message };
}

/** The library's own words name every key there is, of which there may be thousands. */
function unknownKeys(keys: readonly string[]): string {
  const named = keys.slice(0, MOST_KEYS).map((key) => JSON.stringify(shortened(key, 60)));
  const more = keys.length > MOST_KEYS ? ` and ${keys.length - MOST_KEYS} more` : "";
  return `Unrecognized key${keys.length === 1 ? "" : "s"}: ${named.join(", ")}${more}`;
}
