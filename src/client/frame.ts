import type { Codec } from "../protocol/codec.ts";
import { MusterError } from "../protocol/errors.ts";

const encoder = new TextEncoder();

/**
 * A message as a frame of at most `mostBytes`. Throws MusterError `invalid_params` for a larger one: sent, it would cost
 * the connection, and with it everything else that is under way.
 */
export function encodeWithin(mostBytes: number, codec: Codec, message: unknown): string | Uint8Array {
  const frame = codec.encode(message);
  if (isLarger(frame, mostBytes))
    throw new MusterError(
      "invalid_params",
      `the message is too large: the server takes at most ${mostBytes} bytes`,
    );
  return frame;
}

/** The bytes of a text are counted only when it comes near. */
function isLarger(frame: string | Uint8Array, bytes: number): boolean {
  if (typeof frame !== "string") return frame.length > bytes;
  return frame.length * 3 > bytes && encoder.encode(frame).length > bytes;
}
