import { wholeNumber } from "../whole-number.ts";
import { type HttpAnswer, refusal } from "./http-answer.ts";
import type { UwsRequest } from "./uws.ts";

/** Of these one request has one: which of two counts would be anybody's guess, and a proxy's guess may be another. */
const SINGLE = [
  "host",
  "content-length",
  "transfer-encoding",
  "origin",
  "authorization",
  "x-agent-token",
  "sec-websocket-key",
  "sec-websocket-version",
];

/** A request's headers, for as long as they are wanted. A name is given in lower case. */
export class RequestHeaders {
  readonly #values = new Map<string, string>();
  readonly #repeated = new Set<string>();

  constructor(req: UwsRequest) {
    req.forEach((name, value) => {
      const before = this.#values.get(name);
      if (before !== undefined) this.#repeated.add(name);
      this.#values.set(name, before === undefined ? value : `${before}, ${value}`);
    });
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The values of a header that stands there several times are joined by commas. */
  get(name: string): string | undefined {
    return this.#values.get(name);
  }

  /** Whether bytes follow that belong to this request. */
  get haveBody(): boolean {
    return this.has("transfer-encoding") || (wholeNumber(this.get("content-length")) ?? 0) > 0;
  }

  /**
   * What is wrong with how the request is framed: where one like this ends is read in more than one way, so that what
   * follows could be taken for another request. The connection is of no use after it.
   */
  get fault(): HttpAnswer | undefined {
    const twice = SINGLE.find((name) => this.#repeated.has(name));
    if (twice !== undefined) return closing(400, `the header ${twice} stands there more than once`);
    if (!this.has("host")) return closing(400, "the header host is missing");
    const coding = this.get("transfer-encoding");
    const length = this.get("content-length");
    if (coding !== undefined && length !== undefined)
      return closing(400, "a body has either a content-length or a transfer-encoding, not both");
    if (coding !== undefined && coding.toLowerCase() !== "chunked")
      return closing(501, "the transfer-encoding is not known: only chunked is");
    if (length !== undefined && wholeNumber(length) === undefined)
      return closing(400, "the content-length must be a number of bytes");
    return undefined;
  }
}

function closing(status: number, detail: string): HttpAnswer {
  return { ...refusal(status, detail), close: true };
}
