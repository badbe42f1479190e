import { mayReconnect } from "../protocol/close-codes.ts";
import { MusterError } from "../protocol/errors.ts";

/** What WebSocket gives when no close frame came. */
export const ABNORMAL_CLOSE = 1006;
export const BAD_FRAME_CLOSE = 4400;

/** Whether a refused `hello` would be refused again. */
export function isFinal({ reason }: MusterError): boolean {
  return !["unavailable", "timeout", "rate_limited", "internal"].includes(reason);
}

/** How long a refusal asks to wait, in milliseconds; 0 when it does not say. */
export function retryAfterMs(refusal: MusterError | undefined): number {
  const told = refusal?.details.retry_after_ms;
  return typeof told === "number" && told > 0 ? told : 0;
}

/** Why a socket was closed, as an error: for people by its message, for programs by its reason. */
export function closeError(code: number, reason: string): MusterError {
  const said = reason === "" ? "" : `: ${reason}`;
  const details = { close_code: code };
  if (code === BAD_FRAME_CLOSE)
    return new MusterError("invalid_request", `the server could not read us (${code}${said})`, details);
  if (!mayReconnect(code))
    return new MusterError("unauthenticated", `the server refused the token (${code}${said})`, details);
  return code === ABNORMAL_CLOSE
    ? new MusterError("unavailable", reason || "the connection broke", details)
    : new MusterError("unavailable", `the server closed the connection (${code}${said})`, details);
}

/** For a request that comes after the end. */
export function closedError(method: string): MusterError {
  return new MusterError("unavailable", `${method}: the connection is closed; the request was not sent`, {
    may_have_been_done: false,
  });
}
