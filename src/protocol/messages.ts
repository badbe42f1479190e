import { MusterError, type WireError } from "./errors.ts";
import { Unfit } from "./unfit.ts";

/** The JSON-RPC 2.0 envelope. `jsonrpc` is the codec's business: JSON writes it, MessagePack leaves it out. */

export type MessageId = string | number;
export type Params = Record<string, unknown>;

/** An error as any peer may write it. */
export interface PeerError {
  code: number;
  message: string;
  data?: Record<string, unknown>;
}

/** What one decoded message turned out to be. */
export type Incoming =
  | { kind: "request"; id: MessageId; method: string; params: Params }
  | { kind: "notification"; method: string; params: Params }
  | { kind: "response"; id: MessageId; result: unknown }
  /** Without an id when the peer could not read what it answers. */
  | { kind: "response-error"; id: MessageId | null; error: PeerError }
  /** Neither; `id` is what an answer can still be addressed to, or what it was meant to answer. */
  | { kind: "invalid"; id: MessageId | null; why: MusterError; isAnswer: boolean };

/** Bytes of an id that is text. */
const LONGEST_ID = 128;
const LONGEST_METHOD = 200;

/** Sorts one plain decoded value, not a batch. Never throws: what is no message comes back as `invalid`. */
export function classify(message: unknown): Incoming {
  if (!isRecord(message))
    return invalid(null, "a message must be an object with a method, a result or an error");
  const { id, method } = message;
  const replyTo = isMessageId(id) ? id : null;
  if (message.jsonrpc !== undefined && message.jsonrpc !== "2.0")
    return invalid(replyTo, 'jsonrpc must be "2.0" or left out');
  if (method === undefined) return classifyResponse(message, replyTo);
  if (id !== undefined && replyTo === null)
    return invalid(null, `id must be text of at most ${LONGEST_ID} bytes or a whole number up to 2^53`);
  if (typeof method !== "string" || method === "" || method.length > LONGEST_METHOD)
    return invalid(replyTo, `method must be text of 1 to ${LONGEST_METHOD} characters`);
  const params = message.params === undefined ? {} : message.params;
  if (!isRecord(params)) return invalid(replyTo, 'params must be an object by name, like {"agent_id": "…"}');
  return replyTo === null
    ? { kind: "notification", method, params }
    : { kind: "request", id: replyTo, method, params };
}

function classifyResponse(message: Params, id: MessageId | null): Incoming {
  const { result, error } = message;
  if ((result === undefined) === (error === undefined))
    return invalid(id, "a message must have a method, or exactly one of result and error", true);
  if (error === undefined)
    return id === null
      ? invalid(null, "a result must have the id of its request")
      : { kind: "response", id, result };
  if (id === null && message.id !== null) return invalid(null, "an error must have the id of its request");
  if (!isRecord(error) || typeof error.code !== "number" || typeof error.message !== "string")
    return invalid(id, "error must be an object with a number code and a text message", true);
  const { code, message: text, data } = error;
  return {
    kind: "response-error",
    id,
    error: { code, message: text, ...(isRecord(data) ? { data } : {}) },
  };
}

/** A call that is answered under its id. */
export function request(id: MessageId, method: string, params: object) {
  return { id, method, params };
}

/** A call that is never answered. */
export function notification(method: string, params: object) {
  return { method, params };
}

/** The good answer to a request. */
export function success(id: MessageId, result: unknown) {
  return { id, result };
}

/** The bad answer; `id` is null when the request could not be read. */
export function failure(
  id: MessageId | null,
  error: MusterError,
): { id: MessageId | null; error: WireError } {
  return { id, error: error.toWire() };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return !(value instanceof Uint8Array || value instanceof Unfit);
}

/** Whether an answer can be addressed to it. */
export function isMessageId(id: unknown): id is MessageId {
  if (typeof id === "string")
    return id.length <= LONGEST_ID && id.isWellFormed() && encoder.encode(id).length <= LONGEST_ID;
  return typeof id === "number" && Number.isInteger(id) && Math.abs(id) <= 2 ** 53;
}

const encoder = new TextEncoder();

function invalid(id: MessageId | null, why: string, isAnswer = false): Incoming {
  const error = new MusterError("invalid_request", `Not a valid message: ${why}.`);
  return { kind: "invalid", id, why: error, isAnswer };
}
