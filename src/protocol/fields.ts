import { z } from "zod";
import { durationSchema } from "./duration.ts";
import { isJsonObject, isStorable, jsonFault, STORABLE } from "./json-fault.ts";
import { PAGE } from "./limits.ts";

/** Fields that many messages share. */

export { name } from "./names.ts";

export const id = z.uuid("must be an id (a UUID)").transform((text) => text.toLowerCase());
/** ISO 8601 UTC with milliseconds. */
export const time = z.iso.datetime();

/** An instant as a client writes it. Beyond the years of four digits, Postgres and ISO 8601 part ways. */
export const instant = z.iso
  .datetime({ offset: true, error: "must be an ISO 8601 time like 2026-12-31T08:00:00Z" })
  .refine((given) => /^(?!0000)\d{4}-/.test(isoOf(given)), "must be of the years 1 to 9999");
const isoOf = (given: string) => {
  const date = new Date(given);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
};

/** A day as a client writes it. */
export const day = z.iso
  .date("must be a date like 2026-12-31")
  .refine((given) => !given.startsWith("0000"), "must be of the years 1 to 9999");

const LONGEST_LIFE_MS = 100 * 365 * 86_400_000;
/** How long something is good for, read as milliseconds. */
export const lifetime = durationSchema.refine((ms) => ms <= LONGEST_LIFE_MS, "must be at most 36500d");

/** Text of a bounded length, as it is. */
export const text = (most: number) =>
  z.string().max(most, `must be at most ${most} characters`).refine(isStorable, STORABLE);

/** A template: trimmed, empty means none. */
export const template = text(100_000)
  .transform((given) => given.trim() || null)
  .nullable();

export const idempotencyKey = text(200).min(1).optional();

/** Paging by limit, and cursor or offset. */
export const page = {
  limit: z.number().int().min(1).max(PAGE.most).default(PAGE.default),
  cursor: text(500).optional(),
};
export const offset = z.number().int().min(0).max(1_000_000_000).optional();

/** Any JSON value of at most `mostBytes` as JSON. */
export const jsonValue = (mostBytes: number) =>
  z.custom<Json>().check(({ value, issues }) => judge(value, mostBytes, issues));

/** A free JSON object of at most `mostBytes` as JSON. */
export const jsonObject = (mostBytes: number) =>
  z.custom<Record<string, Json>>().check(({ value, issues }) => {
    if (isJsonObject(value)) judge(value, mostBytes, issues);
    else issues.push({ code: "custom", message: "must be an object", input: value });
  });

/** By our own walk, which ends at the first fault: the library's would find, and keep, one for each value there is. */
function judge(value: unknown, mostBytes: number, issues: z.core.$ZodRawIssue[]): void {
  const fault = jsonFault(value, mostBytes);
  if (fault) issues.push({ code: "custom", ...fault, input: value });
}

/** Any JSON value. */
export type Json = z.core.util.JSONType;
