/**
 * Every error that leaves the server: its JSON-RPC code and its HTTP status, by reason.
 * The one table of both; the README prints it.
 */
export const ERRORS = {
  parse_error: { code: -32700, status: 400 },
  invalid_request: { code: -32600, status: 400 },
  method_not_found: { code: -32601, status: 404 },
  invalid_params: { code: -32602, status: 422 },
  internal: { code: -32603, status: 500 },
  unauthenticated: { code: -32001, status: 401 },
  forbidden: { code: -32003, status: 403 },
  not_found: { code: -32004, status: 404 },
  conflict: { code: -32009, status: 409 },
  unprocessable: { code: -32022, status: 422 },
  rate_limited: { code: -32029, status: 429 },
  agent_offline: { code: -32050, status: 409 },
  gateway_failed: { code: -32052, status: 502 },
  unavailable: { code: -32053, status: 503 },
  timeout: { code: -32054, status: 504 },
} as const;

export type Reason = keyof typeof ERRORS;

/** An error as the wire carries it. */
export interface WireError {
  code: number;
  message: string;
  data: { reason: Reason; status: number; [detail: string]: unknown };
}

/**
 * An error meant for the other side. The message says what was wrong and what would be right.
 * Anything else that is thrown reaches the other side as `internal`, and whole only the log.
 */
export class MusterError extends Error {
  readonly reason: Reason;
  readonly details: Record<string, unknown>;

  constructor(
    reason: Reason,
    message: string,
    details: Record<string, unknown> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "MusterError";
    this.reason = reason;
    this.details = details;
  }

  get code(): number {
    return ERRORS[this.reason].code;
  }

  /** The HTTP status that says the same. */
  get status(): number {
    return ERRORS[this.reason].status;
  }

  toWire(): WireError {
    return {
      code: this.code,
      message: this.message,
      data: { reason: this.reason, status: this.status, ...this.details },
    };
  }
}

const REASON_BY_CODE = new Map<number, Reason>(
  Object.entries(ERRORS).map(([reason, { code }]) => [code, reason as Reason]),
);

/** The error that a wire error stands for; an unknown code reads as `internal`. */
export function fromWire(error: {
  code: number;
  message: string;
  data?: Record<string, unknown> | undefined;
}): MusterError {
  const { reason: _reason, status: _status, ...details } = error.data ?? {};
  return new MusterError(REASON_BY_CODE.get(error.code) ?? "internal", error.message, details);
}
