import { CLOSE, type Close } from "../protocol/close-codes.ts";
import type { Codec } from "../protocol/codec.ts";
import type { UwsSocket } from "./uws.ts";

/** The library's word that all of a frame has left. */
const SENT = 1;

/** One socket as a session sees it. After it has begun to close, every method does nothing. */
export interface Transport {
  readonly codec: Codec;
  /** False from the first word of closing on, whoever said it. */
  readonly isOpen: boolean;
  /** Bytes that wait here because the peer does not read. */
  readonly bufferedBytes: number;
  /** Closes the socket as a slow reader's when it leaves too much waiting. */
  send(frame: string | Uint8Array): void;
  /** The session's `closed` runs before this returns. */
  close(close: Close): void;
  /** From now on what is published to the topic is sent here too. */
  join(topic: string): void;
  /** Can take with it what was published in the same turn of the loop. */
  leave(topic: string): void;
}

/** What a listener tells the session on a socket. */
export interface SessionHandler {
  /** The bytes are valid during the call only; those of a text frame are UTF-8. */
  message(frame: Uint8Array): void;
  /** The peer has read what was waiting, or some of it. */
  drained(): void;
  /** The socket is gone, by either side or by the network. Called once, and nothing after it. */
  closed(): void;
}

/** What a socket carries from its upgrade on. */
export interface SocketData {
  codec: Codec;
  bearer: string | undefined;
  transport?: UwsTransport;
  handler?: SessionHandler;
}

/**
 * The transport over a uWebSockets.js socket. It holds the socket only while that is open, because using it later throws,
 * and it limits the waiting bytes itself, because the library's own limit drops messages without a word.
 */
export class UwsTransport implements Transport {
  readonly codec: Codec;
  #socket: UwsSocket<SocketData> | undefined;
  readonly #maxBufferedBytes: number;

  constructor(socket: UwsSocket<SocketData>, maxBufferedBytes: number) {
    this.codec = socket.getUserData().codec;
    this.#socket = socket;
    this.#maxBufferedBytes = maxBufferedBytes;
  }

  get isOpen(): boolean {
    return this.#socket !== undefined;
  }

  get bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  send(frame: string | Uint8Array): void {
    if (this.#socket === undefined) return;
    if (this.#socket.send(frame, this.codec.binary, false) !== SENT) this.closeIfSlow();
  }

  close({ code, reason }: Close): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.end(code, reason);
  }

  join(topic: string): void {
    this.#socket?.subscribe(topic);
  }

  leave(topic: string): void {
    this.#socket?.unsubscribe(topic);
  }

  /** Published frames pass by `send`, so the listener asks for this now and then. */
  closeIfSlow(): void {
    if (this.bufferedBytes > this.#maxBufferedBytes) this.close(CLOSE.slowReader);
  }

  /** The socket is gone; it must not be touched any more. */
  detach(): void {
    this.#socket = undefined;
  }
}
