import { z } from "zod";
import { durationSchema } from "./duration.ts";
import { PAGE } from "./limits.ts";

/** Fields that many messages share. */

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

/** What Postgres cannot store as text or JSON, and no honest text has: U+0000 and halves of characters. */
const isStorable = (text: string) => !text.includes("\u0000") && text.isWellFormed();
const STORABLE = "must be well-formed text without the character U+0000";

/** Text of a bounded length, as it is. */
export const text = (most: number) =>
  z.string().max(most, `must be at most ${most} characters`).refine(isStorable, STORABLE);

/** A name: trimmed, not empty, on one line. */
export const name = z
  .string()
  .transform((given) => given.trim())
  .pipe(
    z
      .string()
      .min(1, "must not be empty")
      .max(200, "must be at most 200 characters")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
      .regex(/^[^\u0000-\u001f\u007f]*$/, "must not contain control characters"),
  );

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

const encoder = new TextEncoder();
const isStorableJson = (value: Json): boolean =>
  typeof value === "string"
    ? isStorable(value)
    : typeof value !== "object" ||
      value === null ||
      Object.entries(value).every(([key, inner]) => isStorable(key) && isStorableJson(inner));

/** A free value's own nesting: an answer or a push that carries it adds its levels, and stays within MAX_DEPTH. */
const MAX_VALUE_DEPTH = 16;
const TOO_DEEP = `must not be nested deeper than ${MAX_VALUE_DEPTH} levels`;
const isShallow = (value: Json, room = MAX_VALUE_DEPTH): boolean =>
  typeof value !== "object" ||
  value === null ||
  (room > 0 && Object.values(value).every((inner) => isShallow(inner, room - 1)));

const jsonBytes = (value: Json) => encoder.encode(JSON.stringify(value)).length;

/** Any JSON value of at most `mostBytes` as JSON. */
export const jsonValue = (mostBytes: number) =>
  z
    .json()
    .refine((value) => jsonBytes(value) <= mostBytes, `must be at most ${mostBytes} bytes as JSON`)
    .refine((value) => isShallow(value), TOO_DEEP)
    .refine(isStorableJson, STORABLE);

/** A free JSON object of at most `mostBytes` as JSON. */
export const jsonObject = (mostBytes: number) =>
  z
    .record(z.string(), z.json(), "must be an object")
    .refine((value) => jsonBytes(value) <= mostBytes, `must be at most ${mostBytes} bytes as JSON`)
    .refine((value) => isShallow(value), TOO_DEEP)
    .refine(isStorableJson, STORABLE);

/** Any JSON value. */
export type Json = z.core.util.JSONType;
