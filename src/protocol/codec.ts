// Not the package's main entry: that adds native code which cuts strings out of one large string, so a short one that is
// kept would keep its whole frame in memory.
import { Packr } from "msgpackr/pack";
import { Unpackr } from "msgpackr/unpack";
import { jsonAckWriter, packedAckWriter } from "./ack-frame.ts";
import { MusterError } from "./errors.ts";
import { type FrameBounds, NO_BOUNDS, TooMuch } from "./frame-bounds.ts";
import { idInJson, idInMsgpack } from "./frame-id.ts";
import { scanJson } from "./json-scan.ts";
import type { MessageId } from "./messages.ts";
import { decodeLeniently } from "./msgpack-lenient.ts";
import { isOddMsgpack } from "./msgpack-scan.ts";

/** How messages become frames and back. Both codecs carry the same messages; MessagePack carries bytes too. */
export interface Codec {
  readonly name: "json" | "msgpack";
  /** The WebSocket subprotocol that asks for it. */
  readonly subprotocol: "muster.v1.json" | "muster.v1.msgpack";
  /** Whether its frames are binary (`Uint8Array`) or text (`string`). */
  readonly binary: boolean;
  /**
   * One message or a batch (an array of messages) as a frame. Undefined properties are left out. A binary frame can be a
   * view into a larger buffer: copy it to keep it for long.
   */
  encode(message: unknown): string | Uint8Array;
  /**
   * The frame of the notification `ack`, of which there are as many as of all others together. Its bytes, UTF-8 for a text
   * frame, are good until the next one is encoded.
   */
  encodeAck(n: number): Uint8Array;
  /** Messages that are encoded already, as one frame that holds them as a batch. */
  joinBatch(frames: readonly (string | Uint8Array)[]): string | Uint8Array;
  /**
   * The value of a frame from anywhere: null, booleans, numbers, text, bytes, arrays and plain objects of these, and
   * `Unfit` where the frame has something else. What no message may hold is for `contentFault` to find. The value shares
   * no memory with the frame, and no key in it touches a prototype. Of a key that stands there twice the last counts.
   *
   * @param bounds looked at in the bytes of a binary frame or a UTF-8 text, before anything is built
   * @throws MusterError `parse_error` for what is no value; `FrameTooRich` past the bounds
   */
  decode(frame: string | Uint8Array, bounds?: FrameBounds): unknown;
}

/** The frame holds more than it may; it was not decoded, but for the id of its message. */
export class FrameTooRich extends MusterError {
  override name = "FrameTooRich";
  readonly id: MessageId | null;

  constructor(id: MessageId | null, { message }: TooMuch) {
    super("invalid_request", `Not a message: ${message}.`);
    this.id = id;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const jsonAcks = jsonAckWriter();
const packedAcks = packedAckWriter();

/** JSON text, each message marked as JSON-RPC 2.0. */
export const jsonCodec: Codec = {
  name: "json",
  subprotocol: "muster.v1.json",
  binary: false,
  encode: (message) => JSON.stringify(Array.isArray(message) ? message.map(marked) : marked(message)),
  encodeAck: (n) => jsonAcks.write(n),
  joinBatch: (frames) => `[${frames.join(",")}]`,
  decode(frame, bounds = NO_BOUNDS) {
    if (typeof frame !== "string" && bounds !== NO_BOUNDS && !isWithin(frame, bounds))
      throw new FrameTooRich(idInJson(frame), new TooMuch(bounds));
    const text = typeof frame === "string" ? frame : textOf(frame);
    if (text === "") throw bad("an empty frame holds no message");
    try {
      return JSON.parse(text);
    } catch {
      // The parser's own words quote the frame, which can hold a token.
      throw bad("the frame is not valid JSON");
    }
  },
};

// Options that the library's types lack need a variable of their own: `skipValues` leaves undefined out, as JSON does.
const PLAIN = { useRecords: false, skipValues: [undefined], encodeUndefinedAsNil: true };
const packr = new Packr(PLAIN);
const unpackr = new Unpackr({
  useRecords: false,
  mapsAsObjects: true,
  copyBuffers: true,
  int64AsType: "number",
});

/** How a batch of any length begins: the mark of an array, and its length in four bytes. */
const ARRAY_32 = 0xdd;
const BATCH_HEAD = 5;

/** Plain MessagePack: no extension types, so any language's library reads and writes it. */
export const msgpackCodec: Codec = {
  name: "msgpack",
  subprotocol: "muster.v1.msgpack",
  binary: true,
  encode: (message) => packr.encode(message),
  encodeAck: (n) => packedAcks.write(n),
  joinBatch(frames) {
    const parts = frames.filter((frame) => typeof frame !== "string");
    const batch = new Uint8Array(parts.reduce((sum, { length }) => sum + length, BATCH_HEAD));
    batch[0] = ARRAY_32;
    new DataView(batch.buffer).setUint32(1, parts.length);
    let at = BATCH_HEAD;
    for (const part of parts) {
      batch.set(part, at);
      at += part.length;
    }
    return batch;
  },
  decode(frame, bounds = NO_BOUNDS) {
    if (typeof frame === "string") throw bad("a text frame where MessagePack is spoken; send binary frames");
    if (frame.length === 0) throw bad("an empty frame holds no message");
    try {
      return isOddMsgpack(frame, bounds) ? decodeLeniently(frame) : unpackr.decode(frame);
    } catch (error) {
      if (error instanceof TooMuch) throw new FrameTooRich(idInMsgpack(frame), error);
      throw bad(`the frame is not valid MessagePack: ${error instanceof Error ? error.message : error}`);
    }
  },
};

/** The codec that a WebSocket subprotocol asks for; undefined when it is none of ours. */
export function codecFor(subprotocol: string): Codec | undefined {
  return [jsonCodec, msgpackCodec].find((codec) => codec.subprotocol === subprotocol);
}

function isWithin(frame: Uint8Array, { elements, channelNumbers }: FrameBounds): boolean {
  return scanJson(frame, { maxElements: elements, maxChannelNumbers: channelNumbers }) === null;
}

function marked(message: unknown): unknown {
  return typeof message === "object" && message !== null ? { jsonrpc: "2.0", ...message } : message;
}

function textOf(frame: Uint8Array): string {
  try {
    return utf8.decode(frame);
  } catch {
    throw bad("the frame is not UTF-8");
  }
}

const bad = (why: string) => new MusterError("parse_error", `Not a message: ${why}.`);
