/** Writes one acknowledgement's frame after the other into the same bytes: there are as many as of all other frames together. */
export interface AckWriter {
  /** The frame for `n`, a whole number from 0 on. It is good until the next one is written. */
  write(n: number): Uint8Array;
}

const encoder = new TextEncoder();
const MOST_DIGITS = 16;
const ZERO = 0x30;

/** `{"jsonrpc":"2.0","method":"ack","params":{"n":7}}` */
export function jsonAckWriter(): AckWriter {
  const head = encoder.encode('{"jsonrpc":"2.0","method":"ack","params":{"n":');
  const bytes = new Uint8Array(head.length + MOST_DIGITS + 2);
  bytes.set(head);
  /** A view for each number of digits, so that none is made for each frame. */
  const views = Array.from({ length: MOST_DIGITS + 1 }, (_, digits) =>
    bytes.subarray(0, head.length + digits + 2),
  );
  return {
    write(n) {
      let digits = 1;
      for (let rest = n; rest >= 10; rest = Math.floor(rest / 10)) digits += 1;
      let rest = n;
      for (let at = head.length + digits - 1; at >= head.length; at--) {
        const next = Math.floor(rest / 10);
        bytes[at] = ZERO + (rest - next * 10);
        rest = next;
      }
      bytes[head.length + digits] = 0x7d;
      bytes[head.length + digits + 1] = 0x7d;
      return views[digits] ?? bytes;
    },
  };
}

/** The map of `method` and `params` in MessagePack, with the number in its shortest form. */
export function packedAckWriter(): AckWriter {
  const head = bytesOf("\x82\xa6method\xa3ack\xa6params\x81\xa1n");
  const bytes = new Uint8Array(head.length + 9);
  bytes.set(head);
  const view = new DataView(bytes.buffer);
  const short = [1, 2, 3, 5, 9].map((length) => bytes.subarray(0, head.length + length));
  const [one = bytes, two = bytes, three = bytes, five = bytes, nine = bytes] = short;
  return {
    write(n) {
      if (n < 0x80) {
        bytes[head.length] = n;
        return one;
      }
      if (n < 0x100) {
        bytes[head.length] = 0xcc;
        bytes[head.length + 1] = n;
        return two;
      }
      if (n < 0x1_0000) {
        bytes[head.length] = 0xcd;
        view.setUint16(head.length + 1, n);
        return three;
      }
      if (n < 0x1_0000_0000) {
        bytes[head.length] = 0xce;
        view.setUint32(head.length + 1, n);
        return five;
      }
      bytes[head.length] = 0xcb;
      view.setFloat64(head.length + 1, n);
      return nine;
    },
  };
}

const bytesOf = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
