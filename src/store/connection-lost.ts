/** A connection to Postgres could not be made, or has ended. Its code is the system's, or `CONNECTION_CLOSED`. */
export class ConnectionLostError extends Error {
  override name = "ConnectionLostError";
  readonly code: string;

  /** @param cause what the system said, if it said something */
  constructor(cause?: unknown) {
    super(wordsOf(cause), { cause });
    this.code = codeOf(cause) ?? "CONNECTION_CLOSED";
  }
}

/** The server speaks no TLS, and its client insists on it. */
export class NoTlsError extends Error {
  override name = "NoTlsError";
  readonly code = "NO_TLS";

  constructor() {
    super("the server offers no TLS");
  }
}

function wordsOf(cause: unknown): string {
  // Several addresses of one name were tried.
  if (cause instanceof AggregateError) return cause.errors.map(wordsOf).join("; ");
  return cause instanceof Error && cause.message !== ""
    ? cause.message
    : "the connection to Postgres was closed";
}

function codeOf(cause: unknown): string | undefined {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined;
}
