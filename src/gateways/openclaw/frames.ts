import { z } from "zod";

/** Characters of a gateway's own words that are kept. */
const MOST_WORDS = 1_000;

/** What a gateway says when it says no. */
const frameError = z.object({
  code: z.string().catch("UNKNOWN"),
  message: z
    .string()
    .catch("The gateway gave no reason.")
    .transform((words) => words.slice(0, MOST_WORDS)),
  details: z.record(z.string(), z.unknown()).optional().catch(undefined),
  retryable: z.boolean().optional().catch(undefined),
  retryAfterMs: z.number().min(0).max(3_600_000).optional().catch(undefined),
});
export type FrameError = z.infer<typeof frameError>;

const frame = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("res"),
    id: z.string(),
    ok: z.boolean(),
    payload: z.unknown().optional(),
    error: frameError.nullish().catch(null),
  }),
  z.object({ type: z.literal("event"), event: z.string(), payload: z.unknown().optional() }),
]);
/** A frame from a gateway. */
export type GatewayFrame = z.infer<typeof frame>;

/** Reads a frame. Undefined for what is none: gateways may say more than we know. */
export function readFrame(text: string): GatewayFrame | undefined {
  try {
    return frame.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

const lenient = <T extends z.ZodType>(schema: T) => schema.nullish().catch(null);

export const challenge = z.object({ nonce: z.string(), ts: z.number() });

/** The answer to a good handshake, as far as it is used. */
export const helloOk = z.object({
  protocol: z.number().int(),
  server: lenient(z.object({ version: lenient(z.string()) })),
  auth: lenient(z.object({ scopes: lenient(z.array(z.string())) })),
  policy: lenient(z.object({ maxPayload: lenient(z.number().positive()) })),
});
