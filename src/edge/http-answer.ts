import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { UwsResponse } from "./uws.ts";

interface Answered {
  status: number;
  headers?: Record<string, string>;
  /** Whether the connection ends with it. */
  close?: boolean;
}

/** What is sent back: content, or what was wrong. */
export type HttpAnswer = Answered & ({ body: string | Uint8Array } | { refused: Refused });

/** What was wrong, for people, and with which fields, for programs. */
interface Refused {
  detail: string;
  issues?: unknown;
}

/** An answer of JSON. */
export function json(value: unknown, status = 200): HttpAnswer {
  return { status, headers: { "content-type": "application/json" }, body: JSON.stringify(value) };
}

/** The answer to what was wrong with a request; `detail` is for people. */
export function refusal(status: number, detail: string, issues?: unknown): HttpAnswer {
  return { status, refused: issues === undefined ? { detail } : { detail, issues } };
}

/** What every answer to a request depends on. */
export interface Exchange {
  /** By which the caller and the log name the request. */
  readonly requestId: string;
  /** The headers are wanted, without what they describe. */
  readonly isHead: boolean;
}

const REQUEST_ID = /^[\w.-]{1,128}$/;

/** The caller's own name for its request where it can stand in a log as it is, else a new one. */
export function requestIdOf(given: string | undefined): string {
  return given !== undefined && REQUEST_ID.test(given) ? given : randomUUID();
}

/** Writes an answer whole. */
export function write(res: UwsResponse, answer: HttpAnswer, { requestId, isHead }: Exchange): void {
  const { status, close = false } = answer;
  const { body, headers } = contentOf(answer, requestId);
  res.writeStatus(`${status} ${STATUS_CODES[status] ?? ""}`);
  const all = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-request-id": requestId,
    ...headers,
  };
  for (const [name, value] of Object.entries(all)) res.writeHeader(name, value);
  if (!isHead) end(res, typeof body === "string" ? Buffer.from(body) : body, close);
  else if (close) res.endWithoutBody(0, true);
  else res.writeHeader("content-length", String(Buffer.byteLength(body))).endWithoutBody();
}

/**
 * What the peer does not read waits here and not in the library, which would take request after request meanwhile and pile up
 * their answers: one that is not whole yet makes it close the connection when another request comes. The caller has asked to
 * be told when the peer is gone.
 */
function end(res: UwsResponse, body: Uint8Array, close: boolean): void {
  if (close || body.length === 0) return void res.end(body, close);
  const [, isWhole] = res.tryEnd(body, body.length);
  if (!isWhole) res.onWritable((offset) => res.tryEnd(body.subarray(offset), body.length)[0]);
}

function contentOf(answer: HttpAnswer, requestId: string) {
  if ("body" in answer) return { body: answer.body, headers: answer.headers };
  return {
    body: JSON.stringify({ ...answer.refused, request_id: requestId }),
    headers: { "content-type": "application/json", ...answer.headers },
  };
}
