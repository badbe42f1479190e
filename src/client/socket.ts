import { MusterError } from "../protocol/errors.ts";

/** The little of a WebSocket that the SDK needs. */
export interface ClientSocket {
  /** Bytes that were sent and have not left yet. */
  readonly bufferedAmount: number;
  send(frame: string | Uint8Array): void;
  close(code: number, reason: string): void;
  /** Drops the connection without a word to the other side. */
  abort(): void;
  /** Asks the other side for a sign of life; missing where the platform cannot. */
  ping?(): void;
}

export interface SocketHandlers {
  open(): void;
  message(frame: string | Uint8Array): void;
  /** The other side is there: anything arrived, be it a ping or a pong. */
  alive(): void;
  /** Called once, also when the connection was never made. */
  close(code: number, reason: string): void;
}

/** Starts to connect; the handlers are called later, never during the call. */
export type SocketFactory = (url: string, subprotocol: string, handlers: SocketHandlers) => ClientSocket;

/** What this platform connects with: `ws` in Node, the global WebSocket elsewhere. */
export async function platformSockets(): Promise<SocketFactory> {
  const inNode = typeof process === "object" && process.versions?.node !== undefined;
  return inNode ? nodeSockets() : browserSocket;
}

async function nodeSockets(): Promise<SocketFactory> {
  const { WebSocket } = await import("ws");
  return (url, subprotocol, handlers) => {
    const socket = new WebSocket(url, [subprotocol], { perMessageDeflate: false });
    // The socket tells why it failed in an event of its own, before it closes.
    let failure = "";
    socket.on("open", handlers.open);
    socket.on("message", (data, isBinary) => {
      handlers.alive();
      const bytes = Array.isArray(data)
        ? Buffer.concat(data)
        : data instanceof ArrayBuffer
          ? Buffer.from(data)
          : data;
      handlers.message(isBinary ? bytes : bytes.toString("utf8"));
    });
    socket.on("ping", handlers.alive);
    socket.on("pong", handlers.alive);
    socket.on("error", (error: Error & { code?: string }) => {
      failure = error.message || error.code || "the connection failed";
    });
    socket.on("close", (code, reason) => handlers.close(code, reason.toString("utf8") || failure));
    return {
      get bufferedAmount() {
        return socket.bufferedAmount;
      },
      send: (frame) => socket.send(frame),
      close: (code, reason) => socket.close(code, reason),
      abort: () => socket.terminate(),
      ping: () => socket.ping(),
    };
  };
}

const browserSocket: SocketFactory = (url, subprotocol, handlers) => {
  const socket = new globalThis.WebSocket(url, [subprotocol]);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => handlers.open();
  socket.onmessage = ({ data }: { data: unknown }) => {
    handlers.alive();
    if (typeof data === "string") handlers.message(data);
    else if (data instanceof ArrayBuffer) handlers.message(new Uint8Array(data));
  };
  socket.onclose = ({ code, reason }) => handlers.close(code, reason);
  return {
    get bufferedAmount() {
      return socket.bufferedAmount;
    },
    send: (frame) => socket.send(frame),
    close: (code, reason) => socket.close(code, reason),
    abort: () => socket.close(),
  };
};

/**
 * The address of the socket for the address of a server: `http` and `ws` are the same here, and the path is added
 * unless it stands there. Throws MusterError `invalid_params` for what is no such address.
 */
export function socketUrl(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || !/^(http|ws)s?:$/.test(url.protocol))
    throw new MusterError("invalid_params", `${address} is not an address like http://127.0.0.1:8787`);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  const path = url.pathname.replace(/\/+$/, "");
  url.pathname = path.endsWith(SOCKET_PATH) ? path : path + SOCKET_PATH;
  return url.href;
}

const SOCKET_PATH = "/v1/socket";
