import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { emulatedUws } from "./uws-emulated.ts";

/** What we use of uWebSockets.js; only what every package that ships it has. */
export interface Uws {
  App(): UwsApp;
  us_listen_socket_close(socket: ListenSocket): void;
  us_socket_local_port(socket: ListenSocket): number;
}

/** Opaque. */
export type ListenSocket = object;
/** Opaque. */
export type UpgradeContext = object;

export interface UwsApp {
  ws<UserData>(path: string, behavior: UwsBehavior<UserData>): UwsApp;
  any(path: string, handler: (res: UwsResponse, req: UwsRequest) => void): UwsApp;
  listen(host: string, port: number, options: number, done: (socket: ListenSocket | false) => void): UwsApp;
  publish(topic: string, message: string | Uint8Array, isBinary: boolean, compress: boolean): boolean;
  /** Ends everything at once: what listens, WebSockets, HTTP connections. */
  close(): UwsApp;
}

/** `listen` option: fail when another process has the port, where the default would share it with that process. */
export const EXCLUSIVE_PORT = 1;

export interface UwsBehavior<UserData> {
  /** 0: none. */
  compression: number;
  /** Bytes; a longer message ends the connection without a close frame. */
  maxPayloadLength: number;
  /** Bytes; 0: no limit. Past it, messages are dropped without a word. */
  maxBackpressure: number;
  /** Seconds. */
  idleTimeout: number;
  sendPingsAutomatically: boolean;
  upgrade(res: UwsUpgrade<UserData>, req: UwsRequest, context: UpgradeContext): void;
  open(ws: UwsSocket<UserData>): void;
  /** The buffer is valid during the call only. */
  message(ws: UwsSocket<UserData>, message: ArrayBuffer, isBinary: boolean): void;
  drain(ws: UwsSocket<UserData>): void;
  /** Its pong has been sent, or waits, before this is called. */
  ping?(ws: UwsSocket<UserData>): void;
  pong?(ws: UwsSocket<UserData>): void;
  /** The socket must not be touched any more; any of its methods throws. */
  close(ws: UwsSocket<UserData>, code: number, reason: ArrayBuffer): void;
}

export interface UwsSocket<UserData> {
  send(message: string | Uint8Array, isBinary: boolean, compress: boolean): number;
  getBufferedAmount(): number;
  /** Sends a close frame; calls the close handler before it returns. The connection goes when the peer has closed it too. */
  end(code: number, reason: string): void;
  /** Ends the connection at once and without a word, and forgets all that waits; calls the close handler, perhaps later. */
  close(): void;
  ping(): number;
  subscribe(topic: string): boolean;
  unsubscribe(topic: string): boolean;
  getTopics(): string[];
  getUserData(): UserData;
}

export interface UwsRequest {
  getHeader(lowerCaseName: string): string;
  getMethod(): string;
  getUrl(): string;
  /** What stands behind the `?`, as it came; older versions lack the value when there is none. */
  getQuery(): string | undefined;
  forEach(header: (name: string, value: string) => void): void;
}

export interface UwsResponse {
  writeStatus(status: string): UwsResponse;
  writeHeader(name: string, value: string): UwsResponse;
  end(body: string | Uint8Array, closeConnection: boolean): UwsResponse;
  /**
   * Sends what the peer takes of the rest of a body of so many bytes. Returns whether it takes more, and whether that was all;
   * if not, it is to be called again with what is still missing when the peer takes more.
   */
  tryEnd(rest: Uint8Array, totalLength: number): [boolean, boolean];
  /** The peer takes more, from this byte of the body on. The handler returns whether it still does. */
  onWritable(handler: (offset: number) => boolean): UwsResponse;
  /**
   * Sends the headers alone. A length that is reported here and not sent is waited for, and the connection is never done:
   * a length other than 0 is written as a header.
   */
  endWithoutBody(reportedLength?: 0, closeConnection?: boolean): UwsResponse;
  cork(write: () => void): UwsResponse;
  onAborted(handler: () => void): UwsResponse;
  /** The chunk is valid during the call only. */
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): UwsResponse;
  getRemoteAddressAsText(): ArrayBuffer;
}

/** The answer to a request to become a WebSocket. */
export interface UwsUpgrade<UserData> extends UwsResponse {
  upgrade(
    userData: UserData,
    key: string,
    protocol: string,
    extensions: string,
    context: UpgradeContext,
  ): void;
}

/** Which implementation runs, for the line at the start. */
export interface UwsFlavor {
  package: string;
  version: string;
  native: boolean;
}

const require = createRequire(import.meta.url);

/**
 * The packages that ship the native server, in the order of preference, each by the file to load. The second is loaded by
 * its binary: its own entry prints to the console and falls back to JavaScript that lacks topics and dies of a bad frame.
 */
const PACKAGES = [
  { entry: "uWebSockets.js", root: "." },
  {
    entry: `@trufflesuite/uws-js-unofficial/binaries/uws_${process.platform}_${process.arch}_${process.versions.modules}.node`,
    root: "..",
  },
];

function load(): { uws: Uws; uwsFlavor: UwsFlavor } {
  // The packages' own switch, kept under its name.
  const candidates = /^(1|true)$/i.test(process.env.UWS_USE_FALLBACK ?? "") ? [] : PACKAGES;
  for (const { entry, root } of candidates) {
    try {
      // Not import(): a binary that does not fit this system would leave an error there that nobody can catch.
      const uws: Uws = require(entry);
      const manifest: { name: string; version: string } = JSON.parse(
        readFileSync(join(dirname(require.resolve(entry)), root, "package.json"), "utf8"),
      );
      return { uws, uwsFlavor: { package: manifest.name, version: manifest.version, native: true } };
    } catch {
      // Not installed, or made for another Node, C library or processor: the next one may fit.
    }
  }
  const manifest: { version: string } = JSON.parse(
    readFileSync(join(dirname(require.resolve("ws")), "package.json"), "utf8"),
  );
  return { uws: emulatedUws, uwsFlavor: { package: "ws", version: manifest.version, native: false } };
}

export const { uws, uwsFlavor } = load();
