import type { Log } from "../log.ts";
import { MusterError } from "../protocol/errors.ts";
import type { HeldBodies } from "./held-bodies.ts";
import { type Exchange, type HttpAnswer, refusal, write } from "./http-answer.ts";
import type { RequestHeaders } from "./request-headers.ts";
import type { Match } from "./router.ts";
import type { UwsRequest, UwsResponse } from "./uws.ts";

/** A request as a route gets it. All of it may be read at any time, also after an await. */
export interface HttpRequest {
  /** What stood in the path where the route has `{…}`, by the name there. */
  readonly params: ReadonlyMap<string, string>;
  readonly query: URLSearchParams;
  readonly remoteAddress: string;
  /** A header's value by its name, in any case of letters; undefined when it is not there. */
  headers(name: string): string | undefined;
  /**
   * The whole body; empty where the route takes none. Rejects when it has more bytes than the route takes, which answers 413,
   * and when too much of others' is on its way, which answers 503.
   */
  body(): Promise<Uint8Array>;
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

/** A request on its way to its route. */
export interface Arrival extends Exchange {
  readonly req: UwsRequest;
  readonly res: UwsResponse;
  readonly headers: RequestHeaders;
}

/** Refuses a request without a look at its body. */
export function refuse(arrival: Arrival, answer: HttpAnswer): void {
  let isGone = false;
  arrival.res.onAborted(() => {
    isGone = true;
  });
  send(arrival, answer, { isAborted: () => isGone, isWhole: () => true });
}

/** How far a request is. */
interface Progress {
  isAborted(): boolean;
  /** Nothing of its body is missing. */
  isWhole(): boolean;
}

/**
 * Writes an answer unless the peer has gone.
 *
 * One with which the connection ends is written a turn later: what has arrived behind the request then finds it unanswered,
 * and the library closes. Answered at once, it would carry out what is behind, and forget about closing. So is one that
 * comes before the whole of a body that is listened to: it would never close a connection that is silent from then on.
 * And so are headers alone when there are many: the library does not tell whether they are read, and a line of requests
 * for them would pile up answers.
 */
function send(
  { res, requestId, isHead }: Arrival,
  answer: HttpAnswer,
  { isAborted, isWhole }: Progress,
): void {
  const now = () => {
    const close = answer.close === true || !isWhole();
    if (!isAborted()) res.cork(() => write(res, { ...answer, close }, { requestId, isHead }));
  };
  if (answer.close === true || !isWhole() || (isHead && !HEADS.mayGo())) setImmediate(now);
  else now();
}

/** Answers without a body that are sent at once in one turn of the loop. */
const MOST_HEADS = 8;
const HEADS = {
  sent: 0,
  mayGo(): boolean {
    if (this.sent === 0)
      setImmediate(() => {
        this.sent = 0;
      });
    this.sent += 1;
    return this.sent <= MOST_HEADS;
  },
};

/** What requests share. */
export interface ServeParts {
  bodies: HeldBodies;
  /** Whom a request is from, as bodies are counted. */
  peerOf(arrival: Arrival): string;
  log: Log;
}

/** Answers a request by the routes of its path. Of a body no more is held than its route takes. */
export function serve({ routes, params }: Match, arrival: Arrival, parts: ServeParts): void {
  const { req, requestId, isHead } = arrival;
  const method = req.getMethod().toLowerCase();
  const route = routes.find((candidate) => candidate.method === (isHead ? "get" : method));
  if (route === undefined) {
    const allow = routes
      .map((candidate) => (candidate.method === "get" ? "GET, HEAD" : candidate.method.toUpperCase()))
      .join(", ");
    const answer = refusal(405, `${method.toUpperCase()} is not possible here, only ${allow}`);
    return refuse(arrival, { ...answer, headers: { allow } });
  }
  const incoming = receive(arrival, params, route.bodyBytes ?? 0, parts);
  const { log } = parts;
  Promise.resolve()
    .then(() => route.handler(incoming.request))
    .catch((error: unknown) => refusalFor(error, requestId, incoming.isAborted(), log))
    .then((answer) => send(arrival, answer, incoming))
    .catch((err) => log.error({ err }, "an HTTP answer could not be written"));
}

/** An address of a socket as text. */
export function addressOf(res: UwsResponse): string {
  return Buffer.from(res.getRemoteAddressAsText()).toString();
}

/** Takes everything that is readable only now, and what of the body comes later. */
function receive(
  arrival: Arrival,
  params: ReadonlyMap<string, string>,
  maxBytes: number,
  { bodies, peerOf }: ServeParts,
) {
  const { req, res, headers } = arrival;
  const peer = headers.haveBody && maxBytes > 0 ? peerOf(arrival) : "";
  let chunks: Buffer[] = [];
  let length = 0;
  let held = 0;
  let aborted = false;
  let isWhole = !headers.haveBody;
  const letGo = () => {
    bodies.give(peer, held);
    held = 0;
    chunks = [];
  };
  const whole = new Promise<Buffer>((resolve, reject) => {
    res.onAborted(() => {
      aborted = true;
      letGo();
      reject(new Error("the client went away"));
    });
    if (isWhole) return resolve(Buffer.alloc(0));
    res.onData((chunk, isLast) => {
      isWhole ||= isLast;
      length += chunk.byteLength;
      // A route that takes no body does not keep a byte of one.
      if (maxBytes === 0) {
        if (isLast) resolve(Buffer.alloc(0));
        return;
      }
      if (length > maxBytes) {
        letGo();
        return reject(tooLarge(maxBytes));
      }
      if (!bodies.take(peer, chunk.byteLength)) {
        letGo();
        return reject(new HttpError(503, "too many bodies are on their way here; come again in a second"));
      }
      held += chunk.byteLength;
      chunks.push(Buffer.from(chunk.slice(0)));
      if (!isLast) return;
      resolve(Buffer.concat(chunks));
      letGo();
    });
  });
  // A route that does not read the body has no use for its failure.
  whole.catch(() => {});
  const request: HttpRequest = {
    params,
    query: new URLSearchParams(req.getQuery() ?? ""),
    remoteAddress: addressOf(res),
    headers: (name) => headers.get(name.toLowerCase()),
    body: () => whole,
  };
  return { request, isAborted: () => aborted, isWhole: () => isWhole };
}

function refusalFor(error: unknown, requestId: string, aborted: boolean, log: Log): HttpAnswer {
  // Nobody wants the rest of a body that is too large.
  if (error instanceof HttpError) return { ...refusal(error.status, error.message), close: true };
  if (error instanceof MusterError) {
    // A body that is no message is a field like any other that is wrong.
    const status = error.reason === "parse_error" ? 422 : error.status;
    return refusal(status, error.message, error.details.issues);
  }
  if (!aborted) log.error({ err: error, request_id: requestId }, "an HTTP request failed");
  return refusal(500, `internal error, see the log under ${requestId}`);
}

function tooLarge(maxBytes: number): HttpError {
  return new HttpError(413, `the body must be at most ${maxBytes} bytes`);
}
