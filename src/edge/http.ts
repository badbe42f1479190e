import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { Log } from "../log.ts";
import { MusterError } from "../protocol/errors.ts";
import type { UwsRequest, UwsResponse } from "./uws.ts";

/** A request as a route gets it. All of it may be read at any time, also after an await. */
export interface HttpRequest {
  readonly query: URLSearchParams;
  readonly remoteAddress: string;
  /** A header's value by its name, in any case of letters; undefined when it is not there. */
  headers(name: string): string | undefined;
  /** The whole body. Rejects, which answers 413, when it has more than `maxBytes` bytes. */
  body(maxBytes: number): Promise<Uint8Array>;
}

export interface HttpAnswer {
  status: number;
  headers?: Record<string, string>;
  body: string | Uint8Array;
}

export interface Route {
  /** In lower case. */
  method: string;
  /** Exact, without a trailing slash. */
  path: string;
  handler(request: HttpRequest): HttpAnswer | Promise<HttpAnswer>;
}

/** An answer of JSON. */
export function json(value: unknown, status = 200): HttpAnswer {
  return { status, headers: { "content-type": "application/json" }, body: JSON.stringify(value) };
}

/** The answer to what was wrong with a request; `detail` is for people. */
export function refusal(status: number, detail: string): HttpAnswer {
  return json({ detail }, status);
}

/** Ends a request with a status for which the wire has no error of its own. */
class HttpError extends Error {
  override name = "HttpError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Answers a request by the routes of its path; bodies of more than `maxBodyBytes` are never held. */
export function serve(
  routes: readonly Route[],
  res: UwsResponse,
  req: UwsRequest,
  { maxBodyBytes, log }: { maxBodyBytes: number; log: Log },
): void {
  const method = req.getMethod().toLowerCase();
  const route = routes.find((candidate) => candidate.method === method);
  if (route === undefined) {
    const allow = routes.map((candidate) => candidate.method.toUpperCase()).join(", ");
    const answer = refusal(405, `${method.toUpperCase()} is not possible here, only ${allow}`);
    write(res, { ...answer, headers: { ...answer.headers, allow } });
    return;
  }
  const incoming = receive(res, req, maxBodyBytes);
  Promise.resolve()
    .then(() => route.handler(incoming.request))
    .catch((error: unknown) => refusalFor(error, incoming.isAborted(), log))
    .then((answer) => {
      if (!incoming.isAborted()) res.cork(() => write(res, answer));
    })
    .catch((err) => log.error({ err }, "an HTTP answer could not be written"));
}

/** Writes an answer whole. */
export function write(res: UwsResponse, { status, headers = {}, body }: HttpAnswer): void {
  res.writeStatus(`${status} ${STATUS_CODES[status] ?? ""}`);
  const all = { "cache-control": "no-store", "x-content-type-options": "nosniff", ...headers };
  for (const [name, value] of Object.entries(all)) res.writeHeader(name, value);
  // Nobody wants the rest of a body that is too large.
  res.end(body, status === 413);
}

/** An address of a socket as text. */
export function addressOf(res: UwsResponse): string {
  return Buffer.from(res.getRemoteAddressAsText()).toString();
}

/** Takes everything that is readable only now, and what of the body comes later. */
function receive(res: UwsResponse, req: UwsRequest, maxBodyBytes: number) {
  const headers = new Map<string, string>();
  req.forEach((name, value) => {
    headers.set(name, value);
  });
  const chunks: Buffer[] = [];
  let length = 0;
  let aborted = false;
  const whole = new Promise<Buffer>((resolve, reject) => {
    res.onAborted(() => {
      aborted = true;
      reject(new Error("the client went away"));
    });
    res.onData((chunk, isLast) => {
      length += chunk.byteLength;
      if (length <= maxBodyBytes) chunks.push(Buffer.from(chunk.slice(0)));
      else chunks.length = 0;
      if (isLast) resolve(Buffer.concat(chunks));
      else if (length > maxBodyBytes) reject(tooLarge(maxBodyBytes));
    });
  });
  // A route that does not read the body has no use for its failure.
  whole.catch(() => {});
  const request: HttpRequest = {
    query: new URLSearchParams(req.getQuery() ?? ""),
    remoteAddress: addressOf(res),
    headers: (name) => headers.get(name.toLowerCase()),
    async body(maxBytes) {
      const bytes = await whole;
      if (length > maxBytes) throw tooLarge(maxBytes);
      return bytes;
    },
  };
  return { request, isAborted: () => aborted };
}

function refusalFor(error: unknown, aborted: boolean, log: Log): HttpAnswer {
  if (error instanceof MusterError || error instanceof HttpError) return refusal(error.status, error.message);
  const ref = randomUUID();
  if (!aborted) log.error({ err: error, ref }, "an HTTP request failed");
  return refusal(500, `internal error, see the log under ${ref}`);
}

function tooLarge(maxBytes: number): HttpError {
  return new HttpError(413, `the body must be at most ${maxBytes} bytes`);
}
