import type { Clock } from "../clock.ts";
import type { MusterError } from "../protocol/errors.ts";
import type { Params } from "../protocol/messages.ts";
import type { ParamsIn, Result } from "../protocol/methods.ts";
import type { SocketFactory } from "./socket.ts";

/** What the server says of the session: who we are, what it allows. */
export type Hello = Result<"hello">;

/** What every connection to a server is made with. */
export interface ConnectOptions {
  /** The server's address, like `http://127.0.0.1:8787`. */
  url: string;
  token?: string | undefined;
  /** How messages are written; default `json`. */
  codec?: "json" | "msgpack" | undefined;
  /** How the program names itself to the server. */
  client?: ParamsIn<"hello">["client"];
  /** How long a request may take unless it says otherwise, in milliseconds; default 30 s. */
  requestTimeoutMs?: number | undefined;
  /** Stand in for the real ones in tests. */
  clock?: Clock | undefined;
  random?: (() => number) | undefined;
  sockets?: SocketFactory | undefined;
}

/** What the owner of a connection is told. Calls come in the order of the frames. */
export interface ConnectionHandlers {
  /** The token for the next `hello`; asked again at every try. */
  token(): string | undefined;
  open(hello: Hello): void;
  /** Lost, or not made; it will be tried again after this many milliseconds. */
  lost(why: MusterError, retryInMs: number): void;
  /** It will not come again: closed by its owner (no error), or refused by the server. */
  ended(why: MusterError | undefined): void;
  notification(method: string, params: Params): void;
  /** Answers a request of the server's; a rejection is answered as its error. */
  request(method: string, params: Params): Promise<unknown>;
}
