import { CLOSE, type Close, tooManyStrangers } from "../protocol/close-codes.ts";
import type { Codec } from "../protocol/codec.ts";
import type { Stranger, Strangers } from "./strangers.ts";
import type { UwsSocket } from "./uws.ts";

/** The library's word that all of a frame has left. */
const SENT = 1;
/** Bytes that may wait before a close frame. */
const MOST_BEFORE_CLOSE = 65_536;
/** The same for a stranger; what is more is not his to keep. */
const MOST_BEFORE_STRANGERS_CLOSE = 16_384;
/** Waiting bytes with which a stranger is too slow a reader. */
export const MOST_BUFFERED_FOR_STRANGER = 65_536;
/** Pings and pongs that a peer may send from one tick to the next: a thousand a second. Honest ones send one in many. */
const MOST_CONTROL_FRAMES = 250;

/** One socket as a session sees it. After it has begun to close, every method does nothing. */
export interface Transport {
  readonly codec: Codec;
  /** False from the first word of closing on, whoever said it. */
  readonly isOpen: boolean;
  /** Bytes that wait here because the peer does not read. */
  readonly bufferedBytes: number;
  /** Closes the socket as a slow reader's when it leaves too much waiting. */
  send(frame: string | Uint8Array): void;
  /** The peer has shown a good token: the bounds for strangers end. */
  admitted(): void;
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
  /** Whom it is from, as strangers are counted. */
  peer: string;
  transport?: UwsTransport;
  handler?: SessionHandler;
}

/** What all sockets of a listener have in common. */
export interface TransportParts {
  readonly maxBufferedBytes: number;
  /** Undefined: nobody is bounded as a stranger. */
  readonly strangers: Strangers | undefined;
  /** The listener's time: ticks since it began. */
  readonly now: { tick: number };
  /** Ticks after the last whole message or pong, when the peer is asked for a pong; 0: never. */
  readonly askAfter: number;
  /** Ticks within which there has to be one then, or a whole message. */
  readonly answerWithin: number;
  /** Ticks that a peer with much to read has for it, before it loses it. */
  readonly partWithin: number;
  /** The socket is closed for the session, although it is there until the peer has read what waits. */
  parting(socket: UwsSocket<SocketData>): void;
}

/**
 * The transport over a uWebSockets.js socket. It holds the socket only while that is open, because using it later throws,
 * and it limits the waiting bytes itself, because the library's own limit drops messages without a word.
 */
export class UwsTransport implements Transport {
  readonly codec: Codec;
  readonly #parts: TransportParts;
  #socket: UwsSocket<SocketData> | undefined;
  #stranger: Stranger | undefined;
  /** When the last whole message or pong came. */
  #heardAt: number;
  /** When a pong was asked for; 0: none is due. */
  #askedAt = 0;
  #controlFrames = 0;
  #controlFramesAt = 0;
  #parting: { socket: UwsSocket<SocketData>; close: Close; since: number } | undefined;

  constructor(socket: UwsSocket<SocketData>, parts: TransportParts) {
    const { codec, peer } = socket.getUserData();
    this.codec = codec;
    this.#socket = socket;
    this.#parts = parts;
    this.#heardAt = parts.now.tick;
    this.#stranger = parts.strangers?.enter(peer, (atOnce) => this.#dismiss(atOnce));
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

  admitted(): void {
    if (this.#stranger) this.#parts.strangers?.leave(this.#stranger);
    this.#stranger = undefined;
  }

  close(close: Close): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    const waiting = socket.getBufferedAmount();
    if (this.#stranger) {
      const mayPart =
        waiting <= MOST_BEFORE_STRANGERS_CLOSE && this.#parts.strangers?.mayPart(this.#stranger);
      this.admitted();
      return mayPart ? socket.end(close.code, close.reason) : socket.close();
    }
    if (waiting <= MOST_BEFORE_CLOSE) return socket.end(close.code, close.reason);
    // The library would keep what waits for as long as the peer reads a little of it now and then.
    this.#parting = { socket, close, since: this.#parts.now.tick };
    for (const topic of socket.getTopics()) socket.unsubscribe(topic);
    this.#parts.parting(socket);
  }

  join(topic: string): void {
    this.#socket?.subscribe(topic);
  }

  leave(topic: string): void {
    this.#socket?.unsubscribe(topic);
  }

  /** A whole message has come. */
  heard(): void {
    this.#heardAt = this.#parts.now.tick;
    this.#askedAt = 0;
    if (this.#stranger) this.#parts.strangers?.spoke(this.#stranger);
  }

  /** A pong has come. */
  ponged(): void {
    if (this.#socket === undefined) return;
    this.#heardAt = this.#parts.now.tick;
    this.#askedAt = 0;
    this.#countControlFrame();
  }

  /** A ping has come, and the library has answered it: the answer waits like everything else. */
  pinged(): void {
    if (!this.#parting) {
      this.#countControlFrame();
      return this.closeIfSlow();
    }
    const { socket } = this.#parting;
    if (socket.getBufferedAmount() > this.#parts.maxBufferedBytes + MOST_BEFORE_CLOSE) socket.close();
  }

  /** The peer has read some of what was waiting. */
  drained(): void {
    if (!this.#parting) return;
    const { socket, close } = this.#parting;
    if (socket.getBufferedAmount() > MOST_BEFORE_CLOSE) return;
    this.#parting = undefined;
    socket.end(close.code, close.reason);
  }

  /** Whatever made them wait: answers, pushes, acknowledgements, pongs. */
  closeIfSlow(): void {
    const { maxBufferedBytes } = this.#parts;
    const most = this.#stranger ? Math.min(MOST_BUFFERED_FOR_STRANGER, maxBufferedBytes) : maxBufferedBytes;
    if (this.bufferedBytes > most) this.close(CLOSE.slowReader);
  }

  /** Asked every few seconds: ends a peer that is too slow or only seems to be there. */
  look(): void {
    const { now, askAfter, answerWithin, partWithin } = this.#parts;
    if (this.#parting) {
      if (now.tick - this.#parting.since >= partWithin) this.#parting.socket.close();
      return;
    }
    this.closeIfSlow();
    if (this.#socket === undefined || askAfter === 0 || now.tick - this.#heardAt < askAfter) return;
    if (this.#askedAt === 0) {
      this.#askedAt = now.tick;
      this.#socket.ping();
    } else if (now.tick - this.#askedAt >= answerWithin) this.#socket.close();
  }

  /** The socket is gone; it must not be touched any more. */
  detach(): void {
    this.#socket = undefined;
    this.#parting = undefined;
    this.admitted();
  }

  #dismiss(atOnce: boolean): void {
    if (atOnce) this.#socket?.close();
    else this.close(tooManyStrangers);
  }

  #countControlFrame(): void {
    const { tick } = this.#parts.now;
    if (this.#controlFramesAt !== tick) this.#controlFrames = 0;
    this.#controlFramesAt = tick;
    this.#controlFrames += 1;
    if (this.#controlFrames > MOST_CONTROL_FRAMES) this.close(CLOSE.flooding);
  }
}
