import { z } from "zod";
import { atOnce } from "../../slices.ts";
import { type Pick, type PickBounds, pickJson } from "./json-picker.ts";
import { words } from "./said.ts";

/** Bytes of a frame that no large answer is awaited with; such a frame is read at once. */
export const SMALL_FRAME = 1_048_576;
/** What a small frame may carry. */
export const SMALL_BOUNDS: PickBounds = { values: 50_000, wholeBytes: SMALL_FRAME };

/** Details of an error that are kept, each a plain value. */
const MOST_DETAILS = 20;
const MOST_DETAIL = 200;

/** What a gateway says when it says no. */
const frameError = z.object({
  code: z
    .string()
    .catch("UNKNOWN")
    .transform((code) => words(code, MOST_DETAIL)),
  message: z
    .string()
    .catch("The gateway gave no reason.")
    .transform((message) => words(message)),
  details: z.record(z.string(), z.unknown()).transform(plainDetails).optional().catch(undefined),
  retryable: z.boolean().optional().catch(undefined),
  retryAfterMs: z.number().min(0).max(3_600_000).optional().catch(undefined),
});
export type FrameError = z.infer<typeof frameError>;

/** Only what is plain, and not much of it: it is looked up by name, and goes no further. */
function plainDetails(details: Record<string, unknown>): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  let left = MOST_DETAILS;
  for (const key in details) {
    const value = details[key];
    if (left === 0) break;
    if (typeof value === "object") continue;
    left -= 1;
    kept[words(key, MOST_DETAIL)] = typeof value === "string" ? words(value, MOST_DETAIL) : value;
  }
  return kept;
}

/** A frame from a gateway. What it carries is not read yet: undefined where it carries nothing. */
export type GatewayFrame =
  | { type: "res"; id: string; ok: boolean; payload: Buffer | undefined; error: FrameError | null }
  | { type: "event"; event: string; payload: Buffer | undefined };

const HEAD: Pick = {
  fields: { type: "all", id: "all", ok: "all", event: "all", error: "bytes", payload: "bytes" },
};
const HEAD_BOUNDS = { values: 100, wholeBytes: 1_000 };
const ERROR: Pick = {
  fields: { code: "all", message: "all", details: "all", retryable: "all", retryAfterMs: "all" },
};
/** An error whose words or details are larger than this has none. */
const ERROR_BOUNDS = { values: 1_000, wholeBytes: 65_536 };

/**
 * Reads a frame but for its payload. Undefined for what is none: gateways may say more than we know. Throws NOT_JSON and
 * TooMuchJson, which mean the same.
 */
export function* readFrame(bytes: Buffer): Generator<void, GatewayFrame | undefined> {
  // What is no object is not looked at.
  if (bytes[0] !== OPEN_BRACE) return undefined;
  const head = yield* pickJson(bytes, HEAD, HEAD_BOUNDS);
  if (typeof head !== "object" || head === null) return undefined;
  const { type, id, ok, event, error, payload } = { ...NONE, ...head };
  const carried = Buffer.isBuffer(payload) ? payload : undefined;
  if (type === "event" && typeof event === "string") return { type, event, payload: carried };
  if (type !== "res" || typeof id !== "string" || typeof ok !== "boolean") return undefined;
  return { type, id, ok, payload: carried, error: Buffer.isBuffer(error) ? yield* readError(error) : null };
}

/** What a small frame carries. Undefined where that is nothing, or cannot be read. */
export function payloadOf({ payload }: GatewayFrame): unknown {
  if (!payload) return undefined;
  try {
    return atOnce(pickJson(payload, "all", SMALL_BOUNDS));
  } catch {
    return undefined;
  }
}

const NONE: Readonly<Record<"type" | "id" | "ok" | "event" | "error" | "payload", unknown>> = {
  type: undefined,
  id: undefined,
  ok: undefined,
  event: undefined,
  error: undefined,
  payload: undefined,
};

function* readError(bytes: Buffer): Generator<void, FrameError | null> {
  try {
    return frameError.safeParse(yield* pickJson(bytes, ERROR, ERROR_BOUNDS)).data ?? null;
  } catch {
    return { code: "UNKNOWN", message: "The gateway gave a reason that is too long to be read." };
  }
}

const OPEN_BRACE = 0x7b;

const lenient = <T extends z.ZodType>(schema: T) => schema.nullish().catch(null);

export const challenge = z.object({ nonce: z.string().max(1_000), ts: z.number() });

/** The answer to a good handshake, as far as it is used. */
export const helloOk = z.object({
  protocol: z.number().int(),
  server: lenient(z.object({ version: lenient(z.string().transform((version) => words(version, 100))) })),
  auth: lenient(z.object({ scopes: lenient(z.array(z.string())) })),
  policy: lenient(z.object({ maxPayload: lenient(z.number().positive()) })),
});
