import { once } from "node:events";
import type { TestContext } from "node:test";
import { pino } from "pino";
import { WebSocket } from "ws";
import { type Listener, type ListenOptions, listen } from "../../src/edge/listener.ts";
import type { SessionHandler, Transport } from "../../src/edge/transport.ts";
import { Origin } from "../../src/origin.ts";

export const silent = pino({ level: "silent" });
export const ignore: SessionHandler = { message() {}, drained() {}, closed() {} };

export async function start(t: TestContext, options: Partial<ListenOptions> = {}): Promise<Listener> {
  const listener = await listen({
    host: "127.0.0.1",
    port: 0,
    allowedOrigins: [],
    allowedHosts: [],
    publicOrigin: undefined,
    maxFrameBytes: 1_000,
    maxBufferedBytes: 1_000_000,
    idleTimeoutS: 30,
    open: () => ignore,
    routes: [],
    log: silent,
    ...options,
  });
  t.after(() => listener.close());
  return listener;
}

/** A listener that answers every frame with itself, and what it saw. */
export async function startEcho(t: TestContext, options: Partial<ListenOptions> = {}) {
  const transports: Transport[] = [];
  let closed = 0;
  const waiting: (() => void)[] = [];
  const listener = await start(t, {
    open: (transport) => {
      transports.push(transport);
      return {
        message: (frame) => transport.send(transport.codec.binary ? frame : Buffer.from(frame).toString()),
        drained() {},
        closed() {
          closed++;
          for (const wake of waiting.splice(0)) wake();
        },
      };
    },
    ...options,
  });
  return {
    listener,
    transports,
    async untilClosed(count: number) {
      while (closed < count) await new Promise<void>((resolve) => waiting.push(resolve));
      return closed;
    },
  };
}

export interface DialOptions {
  protocols?: string[];
  headers?: Record<string, string>;
}

export function dial(t: TestContext, { port }: Listener, { protocols = [], headers = {} }: DialOptions = {}) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/socket`, protocols, { headers });
  socket.on("error", () => {});
  t.after(() => socket.terminate());
  return socket;
}

export async function open(t: TestContext, listener: Listener, options: DialOptions = {}) {
  const socket = dial(t, listener, options);
  await once(socket, "open");
  return socket;
}

/** The HTTP status and text by which an upgrade was refused. */
export async function refused(socket: WebSocket): Promise<{ status: number; body: string }> {
  const [, response] = await once(socket, "unexpected-response");
  let body = "";
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode, body };
}

export async function closing(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = await once(socket, "close");
  return { code, reason: String(reason) };
}

export async function received(socket: WebSocket): Promise<string | Buffer> {
  const [data, isBinary] = await once(socket, "message");
  return isBinary ? data : String(data);
}

export function origins(...texts: string[]): Origin[] {
  return texts.map((text) => {
    const origin = Origin.parse(text);
    if (origin === undefined) throw new Error(`${text} is no origin`);
    return origin;
  });
}
