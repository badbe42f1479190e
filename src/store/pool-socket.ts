import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import type { DatabaseAddress, TlsMode } from "../database-url.ts";
import { ConnectionLostError } from "./connection-lost.ts";
import { dial } from "./dial.ts";
import { SignIn } from "./sign-in.ts";

/** Postgres' ReadyForQuery outside a transaction, with which every successful sign-in ends. */
const READY_FOR_QUERY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);
/** A first answer that refuses the sign-in: by its type, and by the field with the SQLSTATE. */
const ERROR_RESPONSE = 0x45;
const INVALID_AUTHORIZATION = "C28000\0";
/** Whether to ask for TLS, and how to try once more when that is refused. */
const WAYS: Record<TlsMode, readonly [boolean, ...boolean[]]> = {
  disable: [false],
  allow: [false, true],
  prefer: [true, false],
  require: [true],
  "verify-ca": [true],
  "verify-full": [true],
};

/** What a pool learns of its sockets. */
export interface PoolSocketEvents {
  /** The connection is signed in. */
  ready(): void;
  /**
   * The connection could not be made or has ended, and not because the client ended it.
   *
   * @returns resolves when the client may be told
   */
  lost(wasReady: boolean): Promise<void>;
}

type State = "opening" | "open" | "ended" | "lost" | "closed";

/**
 * What the Postgres client takes for its socket: the connection, over TLS or not, of which the client sees neither how it
 * is made nor, for a while, its end.
 *
 * Told that a socket has closed, the client forgets it, and whatever a transaction that was open on it does next (its
 * rollback, for one) is written to nothing: an exception that nobody can catch. Bytes that wait to be written at that
 * moment also leave the connection unable to sign in ever again. A client that is not told writes to a dead socket,
 * which does nothing here; it is told when its pool has been destroyed and it writes no more.
 *
 * Nor can the client be late for an error: it connects when the client has had time to listen, and an error for which
 * nobody listens is nobody's.
 */
export class PoolSocket extends EventEmitter {
  /** For the client's messages. */
  readonly host: string;
  readonly port: number;
  readonly #address: DatabaseAddress;
  readonly #events: PoolSocketEvents;
  #state: State = "opening";
  #isReady = false;
  /** The one that counts: being dialled, or up. */
  #line: Socket | undefined;
  /** The client's greeting, written before the line is up; it then waits for the answer, so there is nothing else. */
  #greeting: Buffer[] = [];

  constructor(address: DatabaseAddress, events: PoolSocketEvents) {
    super();
    this.host = address.host;
    this.port = address.port;
    this.#address = address;
    this.#events = events;
    setImmediate(() => this.#dial(...WAYS[address.tls.mode]));
  }

  get readyState(): "opening" | "open" | "readOnly" | "closed" {
    // To a client whose sockets have all closed, ending is done, and it forgets the queries that wait for a connection.
    return this.#state === "ended" || this.#state === "lost" ? "readOnly" : this.#state;
  }

  write(bytes: Buffer, done?: (error?: Error | null) => void): boolean {
    if (this.#state === "opening") this.#greeting.push(bytes);
    else if (this.#state === "open" && this.#line) return this.#line.write(bytes, done);
    else done?.(new ConnectionLostError());
    return true;
  }

  end(bytes: Buffer): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    this.#line?.end(bytes);
  }

  destroy(): void {
    this.#line?.destroy();
    // Otherwise its close is waited for.
    if (this.#state === "opening") this.#over(new ConnectionLostError());
  }

  pause(): void {
    this.#line?.pause();
  }

  resume(): void {
    this.#line?.resume();
  }

  #dial(secured: boolean, ...others: boolean[]): void {
    if (this.#state !== "opening") return;
    try {
      this.#line = dial(this.#address, secured, {
        up: (socket) => this.#up(socket, others),
        failed: (error, answered) => {
          const [next, ...rest] = others;
          if (answered && next !== undefined) this.#dial(next, ...rest);
          else this.#over(error);
        },
      });
    } catch (error) {
      this.#over(new ConnectionLostError(error));
    }
  }

  #up(socket: Socket, others: boolean[]): void {
    this.#line = socket;
    this.#state = "open";
    let reason: unknown;
    let isFirst = true;
    const [other, ...rest] = others;
    const isOurs = () => socket === this.#line;
    const signIn = new SignIn();
    socket.on("data", (received: Buffer) => {
      if (!isOurs()) return;
      let bytes: Buffer;
      try {
        bytes = signIn.take(received);
      } catch (error) {
        reason ??= error;
        socket.destroy();
        return;
      }
      if (bytes.length === 0) return;
      if (isFirst && other !== undefined && refusesThisWay(bytes)) {
        this.#state = "opening";
        this.#line = undefined;
        socket.destroy();
        this.#dial(other, ...rest);
        return;
      }
      isFirst = false;
      if (!this.#isReady) this.#watchSignIn(bytes);
      this.emit("data", bytes);
    });
    socket.on("drain", () => this.emit("drain"));
    socket.on("error", (error) => {
      reason ??= error;
    });
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      if (isOurs()) this.#over(new ConnectionLostError(reason));
    });
    for (const bytes of this.#greeting) socket.write(bytes);
  }

  #watchSignIn(bytes: Buffer): void {
    if (!bytes.subarray(-READY_FOR_QUERY.length).equals(READY_FOR_QUERY)) return;
    this.#isReady = true;
    this.#greeting = [];
    this.#events.ready();
  }

  /** It will never be up again. */
  #over(error: ConnectionLostError): void {
    if (this.#state === "lost" || this.#state === "closed") return;
    const close = () => {
      this.#state = "closed";
      this.emit("close");
    };
    if (this.#state === "ended") return close();
    this.#state = "lost";
    // First the pool, so that whoever learns of the error finds the next one.
    const told = this.#events.lost(this.#isReady);
    if (this.listenerCount("error") > 0) this.emit("error", error);
    void told.catch(() => {}).then(close);
  }
}

/** Whether it is this way of coming, with TLS or without, that may be what is refused. */
function refusesThisWay(answer: Buffer): boolean {
  return answer[0] === ERROR_RESPONSE && answer.includes(INVALID_AUTHORIZATION);
}
