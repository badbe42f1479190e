import { createServer, type IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Uws, UwsApp, UwsBehavior, UwsRequest, UwsResponse, UwsSocket } from "./uws.ts";

/**
 * The part of uWebSockets.js that we use, over Node's HTTP server and `ws`: for systems that none of the native binaries
 * fits. It is several times slower and takes several times the memory.
 */
export const emulatedUws: Uws = {
  App: createApp,
  us_listen_socket_close(socket) {
    if (socket instanceof Server) socket.close();
  },
  us_socket_local_port(socket) {
    const address = socket instanceof Server ? socket.address() : null;
    return typeof address === "object" && address !== null ? address.port : -1;
  },
};

type Handler = (res: UwsResponse, req: UwsRequest) => void;
type Upgrade = (req: IncomingMessage, connection: Duplex, head: Buffer) => void;

const EVERYTHING = "/*";
/** How long a peer has to close its side too, in milliseconds. */
const PARTED_AFTER_MS = 8_000;
/** The same, for a connection's first one; a little later, so that it is answered. */
const UNHEARD_MS = 10_000;
/** How long a request may take to arrive, and how often that is looked at, in milliseconds. */
const ARRIVAL = { headersTimeout: 8_000, requestTimeout: 8_000, connectionsCheckingInterval: 1_000 };

function createApp(): UwsApp {
  const routes = new Map<string, Handler>();
  const upgrades = new Map<string, Upgrade>();
  const topics = new Map<string, Set<WebSocket>>();
  const open = new Set<WebSocket>();
  const pacers: NodeJS.Timeout[] = [];
  const handle = (req: IncomingMessage, res: ServerResponse) => {
    const handler = routes.get(pathOf(req)) ?? routes.get(EVERYTHING);
    handler?.(response(req, res), request(req));
  };
  const unanswered = new WeakMap<Duplex, number>();
  const server = createServer(ARRIVAL, (req, res) => {
    const { socket } = req;
    const before = unanswered.get(socket) ?? 0;
    unanswered.set(socket, before + 1);
    res.once("close", () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1));
    if (req.httpVersion !== "1.1") return refuse(res, 505);
    // One at a time, like the native servers: else one connection could have any number at work.
    if (before > 0) return refuse(res, 400);
    handle(req, res);
  });
  // Node looks at its clocks only while it listens, and connections are to be let go when it does not, too.
  const unheard = new WeakMap<Duplex, NodeJS.Timeout>();
  const heard = ({ socket }: IncomingMessage) => clearTimeout(unheard.get(socket));
  server.on("connection", (socket) => {
    unheard.set(socket, setTimeout(() => socket.destroy(), UNHEARD_MS).unref());
  });
  server.prependListener("request", heard);
  server.prependListener("upgrade", heard);
  // A connection that cannot be accepted is the peer's loss only; who asks to listen is told besides.
  server.on("error", () => {});
  server.on("upgrade", (req: IncomingMessage, connection: Duplex, head: Buffer) => {
    connection.on("error", () => connection.destroy());
    if (req.httpVersion !== "1.1") return refuse(rawResponse(req), 505);
    const upgrade = upgrades.get(pathOf(req));
    if (upgrade !== undefined && asksForWebSocket(req)) return upgrade(req, connection, head);
    connection.unshift(Buffer.concat([withoutUpgrade(req), head]));
    server.emit("connection", connection);
  });

  const app: UwsApp = {
    ws(path, behavior) {
      upgrades.set(path, acceptSockets(behavior, topics, open));
      if (behavior.idleTimeout > 0) pacers.push(endTheSilent(open, behavior.idleTimeout));
      return app;
    },
    any(path, handler) {
      routes.set(path, handler);
      return app;
    },
    listen(host, port, _options, done) {
      const failed = () => done(false);
      server.once("error", failed);
      server.listen({ host, port }, () => {
        server.off("error", failed);
        done(server);
      });
      return app;
    },
    publish(topic, message, isBinary) {
      for (const ws of topics.get(topic) ?? []) ws.send(message, { binary: isBinary, compress: false });
      return topics.has(topic);
    },
    close() {
      for (const pacer of pacers) clearInterval(pacer);
      for (const ws of open) ws.terminate();
      server.close();
      server.closeAllConnections();
      return app;
    },
  };
  return app;
}

function acceptSockets<UserData>(
  behavior: UwsBehavior<UserData>,
  topics: Map<string, Set<WebSocket>>,
  open: Set<WebSocket>,
): Upgrade {
  const chosen = new WeakMap<IncomingMessage, string>();
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: behavior.maxPayloadLength,
    perMessageDeflate: false,
    handleProtocols: (_offered, req) => chosen.get(req) ?? false,
  });
  return (req, connection, head) => {
    const upgrade = (userData: UserData, _key: string, protocol: string) => {
      chosen.set(req, protocol);
      sockets.handleUpgrade(req, connection, head, (ws) => {
        open.add(ws);
        const joined = new Set<string>();
        let isOpen = true;
        const socket: UwsSocket<UserData> = {
          getUserData: () => userData,
          getBufferedAmount: () => ws.bufferedAmount,
          send(message, isBinary) {
            // Copied, as the native one does: ours may be written over before all of it has left.
            const bytes = typeof message === "string" ? message : Uint8Array.from(message);
            ws.send(bytes, { binary: isBinary, compress: false });
            return ws.bufferedAmount === 0 ? 1 : 0;
          },
          end(code, reason) {
            ws.close(code, reason);
            const late = setTimeout(() => ws.terminate(), PARTED_AFTER_MS).unref();
            ws.once("close", () => clearTimeout(late));
            ended(code);
          },
          close() {
            ws.terminate();
            ended(1006);
          },
          ping() {
            ws.ping();
            return ws.bufferedAmount === 0 ? 1 : 0;
          },
          subscribe(topic) {
            joined.add(topic);
            const members = topics.get(topic) ?? new Set();
            topics.set(topic, members.add(ws));
            return true;
          },
          unsubscribe(topic) {
            const members = topics.get(topic);
            members?.delete(ws);
            if (members?.size === 0) topics.delete(topic);
            return joined.delete(topic);
          },
          getTopics: () => [...joined],
        };
        const ended = (code: number) => {
          if (!isOpen) return;
          isOpen = false;
          for (const topic of joined) socket.unsubscribe(topic);
          behavior.close(socket, code, new ArrayBuffer(0));
        };
        ws.on("message", (data, isBinary) => {
          if (isOpen && data instanceof Buffer) behavior.message(socket, copyOf(data), isBinary);
        });
        ws.on("ping", () => {
          if (isOpen) behavior.ping?.(socket);
        });
        ws.on("pong", () => {
          if (isOpen) behavior.pong?.(socket);
        });
        ws.on("close", (code) => {
          open.delete(ws);
          ended(code);
        });
        // A bad frame: the library closes the socket by itself.
        ws.on("error", () => {});
        connection.on("drain", () => {
          if (isOpen) behavior.drain(socket);
        });
        behavior.open(socket);
      });
    };
    const res = rawResponse(req);
    // The connection is the WebSocket's when the upgrade is granted, and no HTTP answer's any more.
    const granted = (...args: Parameters<typeof upgrade>) => {
      res.detachSocket(res.socket ?? req.socket);
      upgrade(...args);
    };
    behavior.upgrade({ ...response(req, res), upgrade: granted }, request(req), req);
  };
}

/** Pings everybody, and ends who has been silent for `seconds` at the most. */
function endTheSilent(open: Set<WebSocket>, seconds: number): NodeJS.Timeout {
  const heard = new WeakSet<WebSocket>();
  const watched = new WeakSet<WebSocket>();
  const pace = setInterval(() => {
    for (const ws of open) {
      if (!watched.has(ws)) {
        watched.add(ws);
        ws.on("pong", () => heard.add(ws));
        ws.on("message", () => heard.add(ws));
      } else if (!heard.delete(ws)) ws.terminate();
      ws.ping();
    }
  }, seconds * 500);
  return pace.unref();
}

function asksForWebSocket({ method, headers }: IncomingMessage): boolean {
  return method === "GET" && headers.upgrade?.toLowerCase() === "websocket";
}

/** The head of a request as it came, without the wish for another protocol: servers may answer by this one. */
function withoutUpgrade({ method, url, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/1.1`];
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (!/^(?:connection|upgrade|http2-settings)$/i.test(rawHeaders[at] ?? ""))
      lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function refuse(res: ServerResponse, status: number): void {
  res.writeHead(status, { connection: "close" });
  res.end();
}

function rawResponse(req: IncomingMessage): ServerResponse {
  const res = new ServerResponse(req);
  res.assignSocket(req.socket);
  res.shouldKeepAlive = false;
  res.on("finish", () => req.socket.destroySoon());
  return res;
}

function request(req: IncomingMessage): UwsRequest {
  const header = (name: string) => [req.headers[name] ?? ""].flat().join(", ");
  return {
    getHeader: header,
    getMethod: () => (req.method ?? "").toLowerCase(),
    getUrl: () => pathOf(req),
    getQuery: () => (req.url ?? "").split("?").slice(1).join("?"),
    forEach(each) {
      const { rawHeaders } = req;
      for (let at = 0; at < rawHeaders.length; at += 2)
        each((rawHeaders[at] ?? "").toLowerCase(), rawHeaders[at + 1] ?? "");
    },
  };
}

function response(req: IncomingMessage, res: ServerResponse): UwsResponse {
  const self: UwsResponse = {
    writeStatus(status) {
      res.statusCode = Number.parseInt(status, 10);
      return self;
    },
    writeHeader(name, value) {
      res.setHeader(name, value);
      return self;
    },
    end(body, closeConnection) {
      if (closeConnection) res.setHeader("connection", "close");
      res.end(body);
      return self;
    },
    tryEnd(rest) {
      // Node takes no further request of a connection that does not read.
      res.end(rest);
      return [true, true];
    },
    onWritable: () => self,
    endWithoutBody(reportedLength, closeConnection) {
      if (reportedLength !== undefined) res.setHeader("content-length", reportedLength);
      return self.end("", closeConnection === true);
    },
    cork(write) {
      write();
      return self;
    },
    onAborted(handler) {
      res.on("close", () => {
        if (!res.writableEnded) handler();
      });
      return self;
    },
    onData(handler) {
      req.on("data", (chunk: Buffer) => handler(copyOf(chunk), false));
      req.on("end", () => handler(new ArrayBuffer(0), true));
      return self;
    },
    getRemoteAddressAsText: () => copyOf(Buffer.from(req.socket.remoteAddress ?? "")),
  };
  return self;
}

function pathOf(req: IncomingMessage): string {
  return (req.url ?? "").split("?")[0] ?? "";
}

function copyOf(bytes: Buffer): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
