import { Socket } from "node:net";

/** Postgres' ReadyForQuery outside a transaction, with which every successful sign-in ends. */
const READY_FOR_QUERY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

/** What a pool learns of its sockets. */
export interface PoolSocketEvents {
  /** The connection is signed in. */
  ready(): void;
  /**
   * The connection has ended, and not because the client ended it.
   *
   * @returns resolves when the client may be told
   */
  lost(wasReady: boolean): Promise<void>;
}

/**
 * A socket for the Postgres client that can keep its end to itself for a while.
 *
 * Told that a socket has closed, the client forgets it, and whatever a transaction that was open on it does next (its
 * rollback, for one) is written to nothing: an exception that nobody can catch. Bytes that wait to be written at that
 * moment also leave the connection unable to sign in ever again. A client that is not told writes to a dead socket,
 * which is harmless; it is told when its pool has been destroyed and it writes no more.
 */
export class PoolSocket extends Socket {
  readonly #events: PoolSocketEvents;
  #ready = false;

  constructor(events: PoolSocketEvents) {
    // Otherwise the socket would answer the server's end with its own, which then could not be told from the client's.
    super({ allowHalfOpen: true });
    this.#events = events;
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === "data" && !this.#ready) this.#watchSignIn(args[0]);
    if (event === "end" && !this.writableEnded) this.destroy();
    if (event !== "close" || this.writableEnded) return super.emit(event, ...args);
    // To a client whose sockets have all closed, ending is done, and it forgets the queries that wait for a connection.
    Object.defineProperty(this, "readyState", { value: "readOnly" });
    void this.#events.lost(this.#ready).finally(() => super.emit(event, ...args));
    return true;
  }

  #watchSignIn(chunk: unknown): void {
    if (!Buffer.isBuffer(chunk) || !chunk.subarray(-READY_FOR_QUERY.length).equals(READY_FOR_QUERY)) return;
    this.#ready = true;
    this.#events.ready();
  }
}
