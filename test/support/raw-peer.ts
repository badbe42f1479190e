import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";

/** A connection that sends bytes as it likes, and reads only when it is told to. */
export class RawPeer {
  readonly socket: Socket;
  isClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
    });
  }

  /** Waits for the first of these to happen; an error ends in `close`. */
  #either(...events: string[]): Promise<void> {
    return new Promise((resolve) => {
      for (const event of events) this.socket.once(event, () => resolve());
    });
  }

  static async connect(t: TestContext, url: string): Promise<RawPeer> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    t.after(() => socket.destroy());
    const peer = new RawPeer(socket);
    await peer.#either("connect", "close");
    return peer;
  }

  /** A WebSocket from here on: what is read of it first is the answer to its upgrade. */
  static async upgraded(t: TestContext, url: string, headers: Record<string, string> = {}): Promise<RawPeer> {
    const peer = await RawPeer.connect(t, url);
    peer.socket.write(upgradeRequest(url, headers));
    if (!peer.isClosed) await peer.#either("data", "close");
    return peer;
  }

  /** Sends unless the connection has ended; waits until the kernel has taken it, or for a moment if it does not. */
  async send(bytes: Uint8Array | string, atMostMs = 500): Promise<void> {
    if (this.isClosed || this.socket.write(bytes)) return;
    const gaveUp = new AbortController();
    const timer = setTimeout(() => gaveUp.abort(), atMostMs);
    await Promise.race(
      ["drain", "close"].map((event) => once(this.socket, event, { signal: gaveUp.signal }).catch(() => {})),
    );
    clearTimeout(timer);
    gaveUp.abort();
  }
}

/** What asks for a WebSocket. */
export function upgradeRequest(url: string, headers: Record<string, string> = {}): string {
  const all = {
    host: new URL(url).host,
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET /v1/socket HTTP/1.1\r\n${lines.join("")}\r\n`;
}

const OPCODES = { continuation: 0, text: 1, binary: 2, ping: 9, pong: 10 } as const;

/** The head of a masked frame whose mask changes nothing. */
export function frameHead(opcode: keyof typeof OPCODES, length: number, { fin = true } = {}): Buffer {
  const first = (fin ? 0x80 : 0) | OPCODES[opcode];
  if (length < 126) return Buffer.from([first, 0x80 | length, 0, 0, 0, 0]);
  const head = Buffer.alloc(14);
  head[0] = first;
  if (length < 65_536) {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(length, 2);
    return head.subarray(0, 8);
  }
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}
