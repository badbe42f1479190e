import { createHash, randomBytes } from "node:crypto";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ClientSocket, SocketHandlers } from "../../client/socket.ts";
import { wholeNumber } from "../../whole-number.ts";
import { clientFrame, FrameReader, OPCODE } from "./frames.ts";

/** Bytes that are read at a time; what is longer comes in parts. */
const READ_BYTES = 4_096;
/** Bytes that the answer to the upgrade may have. */
const MOST_HEAD_BYTES = 16_384;
/** How long the other side may take to close, once we have asked it to, in milliseconds. */
const CLOSE_MS = 1_000;
const ABNORMAL_CLOSE = 1006;
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const EMPTY = Buffer.alloc(0);

/** What is asked of each message first: whether it was an acknowledgement, and is dealt with. Bytes as in FrameTaker. */
export type Peek = (bytes: Buffer, start: number, end: number) => boolean;

export interface LeanHandlers extends SocketHandlers {
  peek: Peek;
}

/**
 * A WebSocket client that costs a load generator little: it reads into one buffer, sends what was framed before, and hands
 * a message out as a frame of its own only when nobody wanted it as bytes.
 */
export class LeanSocket implements ClientSocket {
  readonly #socket: Socket;
  readonly #handlers: LeanHandlers;
  readonly #reader: FrameReader;
  readonly #accept: string;
  /** What has come of the answer to the upgrade; undefined once it is whole. */
  #head: Buffer | undefined = EMPTY;
  #isClosed = false;
  /** How it was closed, or why it failed. */
  #end = { code: ABNORMAL_CLOSE, reason: "" };

  /**
   * Starts to connect.
   *
   * @param url with the path, as `ws:` or `wss:`
   * @param subprotocol empty: none is offered
   */
  constructor(url: string, subprotocol: string, handlers: LeanHandlers) {
    this.#handlers = handlers;
    this.#reader = new FrameReader((opcode, bytes, start, end) => this.#take(opcode, bytes, start, end));
    const { protocol, hostname, port, host, pathname, search } = new URL(url);
    const isSecure = protocol === "wss:";
    const key = randomBytes(16).toString("base64");
    this.#accept = createHash("sha1").update(`${key}${GUID}`).digest("base64");
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const name = hostname.replace(/^\[|\]$/g, "");
    const options = {
      host: name,
      port: wholeNumber(port) ?? (isSecure ? 443 : 80),
      noDelay: true,
      onread: { buffer, callback: (length: number) => this.#read(buffer, length) },
    };
    this.#socket = isSecure ? connectTls({ ...options, servername: name }) : connectTcp(options);
    this.#socket.on("error", (error: Error & { code?: string }) => {
      this.#end.reason ||= error.message || error.code || "the connection failed";
    });
    this.#socket.on("end", () => this.#socket.destroy());
    this.#socket.on("close", () => {
      this.#isClosed = true;
      handlers.close(this.#end.code, this.#end.reason);
    });
    const offer = subprotocol === "" ? "" : `Sec-WebSocket-Protocol: ${subprotocol}\r\n`;
    this.#socket.write(
      `GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n${offer}\r\n`,
    );
  }

  get bufferedAmount(): number {
    return this.#socket.writableLength;
  }

  send(message: string | Uint8Array): void {
    if (typeof message === "string") this.sendFrame(clientFrame(OPCODE.text, Buffer.from(message)));
    else this.sendFrame(clientFrame(OPCODE.binary, message));
  }

  /** Sends frames as they are. They must stay as they are until `bufferedAmount` is 0. */
  sendFrame(frame: Buffer): void {
    if (!this.#isClosed) this.#socket.write(frame);
  }

  /** Calls back when all that was sent so far has left. */
  afterSending(run: () => void): void {
    this.#socket.write(EMPTY, () => {
      if (!this.#isClosed) run();
    });
  }

  close(code: number, reason: string): void {
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
    payload.writeUInt16BE(code);
    payload.write(reason, 2);
    this.sendFrame(clientFrame(OPCODE.close, payload));
    this.#socket.setTimeout(CLOSE_MS, () => this.#socket.destroy());
  }

  abort(): void {
    this.#socket.destroy();
  }

  ping(): void {
    this.sendFrame(clientFrame(OPCODE.ping, EMPTY));
  }

  #read(buffer: Buffer, length: number): boolean {
    try {
      if (this.#head !== undefined) this.#readHead(buffer.subarray(0, length));
      else {
        this.#reader.push(buffer, length);
        this.#handlers.alive();
      }
    } catch (error) {
      this.#end.reason ||= error instanceof Error ? error.message : String(error);
      this.#socket.destroy();
    }
    return true;
  }

  /** The answer to the upgrade. Throws when it is a refusal. */
  #readHead(arrived: Buffer): void {
    const head = Buffer.concat([this.#head ?? EMPTY, arrived]);
    this.#head = head;
    const end = head.indexOf("\r\n\r\n");
    if (end < 0 && head.length < MOST_HEAD_BYTES) return;
    const text = head.toString("latin1", 0, end);
    const [status = ""] = text.split("\r\n", 1);
    if (!/^HTTP\/1\.1 101 /.test(status)) throw new Error(`no WebSocket there: ${status.slice(0, 100)}`);
    if (/^sec-websocket-accept: *(\S+) *$/im.exec(text)?.[1] !== this.#accept)
      throw new Error("no WebSocket there: the answer to the upgrade is another's");
    this.#head = undefined;
    this.#handlers.open();
    const frames = head.subarray(end + 4);
    if (frames.length > 0) this.#reader.push(frames, frames.length);
  }

  #take(opcode: number, bytes: Buffer, start: number, end: number): void {
    switch (opcode) {
      case OPCODE.text:
        if (!this.#handlers.peek(bytes, start, end))
          this.#handlers.message(bytes.toString("utf8", start, end));
        return;
      case OPCODE.binary:
        if (!this.#handlers.peek(bytes, start, end))
          this.#handlers.message(Buffer.from(bytes.subarray(start, end)));
        return;
      case OPCODE.ping:
        return this.sendFrame(clientFrame(OPCODE.pong, bytes.subarray(start, end)));
      case OPCODE.close:
        if (end - start >= 2)
          this.#end = { code: bytes.readUInt16BE(start), reason: bytes.toString("utf8", start + 2, end) };
        this.sendFrame(clientFrame(OPCODE.close, bytes.subarray(start, end)));
        this.#socket.end();
        return;
    }
  }
}
