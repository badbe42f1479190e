/** WebSocket frames (RFC 6455) as far as a load needs them: whole ones, small, without extensions. */

export const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Bytes of a frame that is read, at most. */
const MOST_BYTES = 4 * 1_048_576;
const FINAL = 0x80;
const MASKED = 0x80;
const MASK_BYTES = 4;
const EMPTY = Buffer.alloc(0);

/** A client's frame. It is masked as the standard asks, with a mask of zeros: what is sent is what was written. */
export function clientFrame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const frame = Buffer.alloc(2 + extended + MASK_BYTES + length);
  frame[0] = FINAL | opcode;
  frame[1] = MASKED | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) frame.writeUInt16BE(length, 2);
  if (extended === 8) frame.writeBigUInt64BE(BigInt(length), 2);
  frame.set(payload, 2 + extended + MASK_BYTES);
  return frame;
}

/** Takes one frame's content, which lies in `bytes` from `start` to `end` and is gone after the call. */
export type FrameTaker = (opcode: number, bytes: Buffer, start: number, end: number) => void;

/** Finds a server's frames in what arrives. Copies nothing but the beginning of a frame whose end is still to come. */
export class FrameReader {
  readonly #take: FrameTaker;
  #rest: Buffer = EMPTY;

  constructor(take: FrameTaker) {
    this.#take = take;
  }

  /** What has arrived: the first `length` of these bytes. Throws for what no server may send, or a load does not read. */
  push(arrived: Buffer, length: number): void {
    const bytes =
      this.#rest.length === 0 ? arrived : Buffer.concat([this.#rest, arrived.subarray(0, length)]);
    const end = this.#rest.length === 0 ? length : bytes.length;
    this.#rest = EMPTY;
    let at = 0;
    while (end - at >= 2) {
      const second = bytes[at + 1] ?? 0;
      let size = second & 0x7f;
      let body = at + 2;
      if (size === 126) {
        body += 2;
        if (body > end) break;
        size = bytes.readUInt16BE(at + 2);
      } else if (size === 127) {
        body += 8;
        if (body > end) break;
        size = Number(bytes.readBigUInt64BE(at + 2));
      }
      if ((second & MASKED) !== 0 || size > MOST_BYTES)
        throw new Error(`the server's frame is masked or longer than ${MOST_BYTES} bytes`);
      if (body + size > end) break;
      const first = bytes[at] ?? 0;
      if (first < FINAL) throw new Error("the server sends in fragments, which are not read here");
      at = body + size;
      this.#take(first & 0x0f, bytes, body, at);
    }
    if (at < end) this.#rest = Buffer.from(bytes.subarray(at, end));
  }
}
