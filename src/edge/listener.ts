import type { Log } from "../log.ts";
import { Networks } from "../networks.ts";
import { CLOSE } from "../protocol/close-codes.ts";
import { Descriptors } from "./descriptors.ts";
import { Door, openPort } from "./door.ts";
import { chooseCodec, handshakeFault, SOCKET_PATH, upgradeNeeded } from "./handshake.ts";
import { HeldBodies } from "./held-bodies.ts";
import { type Arrival, addressOf, refuse, type ServeParts, serve } from "./http.ts";
import { refusal, requestIdOf } from "./http-answer.ts";
import { BrowserCheck, type BrowserRules } from "./origins.ts";
import { Peers } from "./peers.ts";
import { RequestHeaders } from "./request-headers.ts";
import { Rounds, TICK_MS } from "./rounds.ts";
import { type Route, Router } from "./router.ts";
import { Strangers } from "./strangers.ts";
import {
  MOST_BUFFERED_FOR_STRANGER,
  type SessionHandler,
  type SocketData,
  type Transport,
  type TransportParts,
  UwsTransport,
} from "./transport.ts";
import { upgrade } from "./upgrades.ts";
import { type UwsApp, type UwsBehavior, type UwsRequest, type UwsResponse, uws } from "./uws.ts";

/** One port: WebSockets at `/v1/socket`, HTTP everywhere else. */
export interface Listener {
  /** The one that was taken, when port 0 was asked for. */
  readonly port: number;
  /** Sends to every socket that has joined. A topic's frames must be of the codec of all who join it. */
  publish(topic: string, frame: string | Uint8Array): void;
  /** New connections are refused from now on; those that are there stay. */
  stopAccepting(): void;
  /** Ends everything; sockets still open are told that the server is going away. */
  close(): Promise<void>;
}

export interface ListenOptions extends BrowserRules {
  /** 0: any free one. */
  port: number;
  maxFrameBytes: number;
  /** Waiting bytes with which a socket is too slow a reader. */
  maxBufferedBytes: number;
  /** Seconds; 0, or 8 to 960. The server pings, so only a peer that is gone is silent. */
  idleTimeoutS: number;
  /**
   * Set: sockets of which the session has not said `admitted` are bounded by address and in all. The address is the one that
   * these proxies tell.
   */
  strangersBehind?: Networks;
  /** Set: how many descriptors the process may have. Near that no socket is accepted. */
  descriptorLimit?: number | undefined;
  /** A socket has connected: returns who takes its messages. `bearer` is the token of its Authorization header. */
  open(transport: Transport, upgrade: { bearer?: string }): SessionHandler;
  routes: readonly Route[];
  log: Log;
}

/**
 * The library drops a connection without a close frame when a message passes its limit, and holds what is not whole yet up to
 * it. So that a peer hears of 1009, the library's limit is this many bytes above ours; only what is larger still is dropped.
 */
const FRAME_HEADROOM = 65_536;
/** Seconds after the last whole message or pong when a peer is asked for one, as a part of the time that it may be silent. */
const ASK_PART = 2 / 3;
/** How long a peer that is closed has to read what waits for it, in milliseconds. */
const PART_WITHIN_MS = 10_000;
/** How much of a path is said back. */
const MOST_SAID = 200;
/** Published bytes between two looks at all sockets for slow readers, as a part of what one may leave waiting. */
const SWEEP_PART = 8;

/** Takes the port. Rejects with an Error for people when that cannot be. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { host, port, maxBufferedBytes } = options;
  const sockets = new Set<UwsTransport>();
  const rounds = new Rounds(sockets);
  const strangers =
    options.strangersBehind &&
    new Strangers(options.maxFrameBytes + FRAME_HEADROOM + MOST_BUFFERED_FOR_STRANGER);
  const browsers = await BrowserCheck.of(options);
  const app = uws.App();
  app.ws(SOCKET_PATH, socketBehavior(options, browsers, sockets, strangers, rounds.now));
  serveRoutes(app, options, browsers);
  const listening = await openPort(app, host, port);
  if (listening === undefined) {
    app.close();
    rounds.stop();
    throw new Error(
      `cannot listen on ${host}:${port}: the port is taken, or the host is no address of this machine; ` +
        "end what runs there, or set PORT or HOST",
    );
  }
  const door = new Door(app, host, listening);
  const { descriptorLimit, log } = options;
  const descriptors =
    descriptorLimit === undefined
      ? undefined
      : new Descriptors(
          descriptorLimit,
          {
            shed: (count, leastAgeMs) => strangers?.shed(count, leastAgeMs),
            pause: () => door.close(),
            resume: () => door.open(),
          },
          log,
        );
  const stopAccepting = () => {
    descriptors?.stop();
    door.close();
  };
  let publishedBytes = 0;
  return {
    port: door.port,
    publish(topic, frame) {
      app.publish(topic, frame, typeof frame !== "string", false);
      publishedBytes += frame.length;
      if (publishedBytes < maxBufferedBytes / SWEEP_PART) return;
      publishedBytes = 0;
      for (const transport of sockets) transport.closeIfSlow();
    },
    stopAccepting,
    async close() {
      stopAccepting();
      strangers?.close();
      rounds.stop();
      for (const transport of sockets) transport.close(CLOSE.goingAway);
      // The close frames leave with this turn of the loop; what is open after it has no more to say.
      await new Promise((resolve) => setImmediate(resolve));
      app.close();
    },
  };
}

function socketBehavior(
  { maxFrameBytes, maxBufferedBytes, idleTimeoutS, strangersBehind, open, log }: ListenOptions,
  browsers: BrowserCheck,
  sockets: Set<UwsTransport>,
  strangers: Strangers | undefined,
  now: TransportParts["now"],
): UwsBehavior<SocketData> {
  /** What a session throws must not pass through the library, which ends the process for it. */
  const failed = (err: unknown) => log.error({ err }, "a session failed");
  const guard = (run: () => void) => {
    try {
      run();
    } catch (error) {
      failed(error);
    }
  };
  const peers = strangersBehind && new Peers(strangersBehind);
  const parts: TransportParts = {
    maxBufferedBytes,
    strangers,
    now,
    askAfter: Math.round((idleTimeoutS * ASK_PART * 1_000) / TICK_MS),
    answerWithin: Math.round((idleTimeoutS * 1_000) / TICK_MS),
    partWithin: PART_WITHIN_MS / TICK_MS,
    parting(ws) {
      const data = ws.getUserData();
      const { handler } = data;
      delete data.handler;
      guard(() => handler?.closed());
    },
  };
  return {
    compression: 0,
    maxPayloadLength: maxFrameBytes + FRAME_HEADROOM,
    maxBackpressure: 0,
    idleTimeout: idleTimeoutS,
    sendPingsAutomatically: true,
    upgrade(res, req, context) {
      const arrival = arrivalOf(res, req);
      const { headers } = arrival;
      const refused =
        headers.fault ??
        handshakeFault(headers) ??
        forbidden(browsers.whyNotHost(headers) ?? browsers.whyNotOrigin(headers));
      if (refused) return refuse(arrival, refused);
      const offered = headers.get("sec-websocket-protocol") ?? "";
      const codec = chooseCodec(offered);
      if (codec === undefined)
        return refuse(
          arrival,
          refusal(400, "offer the subprotocol muster.v1.json or muster.v1.msgpack, or none"),
        );
      const data: SocketData = {
        codec,
        bearer: /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1],
        peer: peers?.keyOf(addressOf(res), headers.get("x-forwarded-for") ?? "") ?? "",
      };
      upgrade(res, arrival, { data, protocol: offered === "" ? "" : codec.subprotocol, context, strangers });
    },
    open(ws) {
      const data = ws.getUserData();
      const transport = new UwsTransport(ws, parts);
      data.transport = transport;
      sockets.add(transport);
      const handler = open(transport, data.bearer === undefined ? {} : { bearer: data.bearer });
      data.bearer = undefined;
      if (transport.isOpen) data.handler = handler;
      // It was closed from within, when there was nobody yet to tell.
      else guard(() => handler.closed());
    },
    message(ws, message, isBinary) {
      const { transport, handler, codec } = ws.getUserData();
      if (!transport?.isOpen) return;
      transport.heard();
      if (isBinary !== codec.binary) return transport.close(CLOSE.badFrame);
      if (message.byteLength > maxFrameBytes) return transport.close(CLOSE.frameTooLarge);
      try {
        handler?.message(new Uint8Array(message));
      } catch (error) {
        failed(error);
      }
    },
    drain(ws) {
      const { transport, handler } = ws.getUserData();
      if (transport?.isOpen) guard(() => handler?.drained());
      else transport?.drained();
    },
    ping(ws) {
      ws.getUserData().transport?.pinged();
    },
    pong(ws) {
      ws.getUserData().transport?.ponged();
    },
    close(ws) {
      const { transport, handler } = ws.getUserData();
      if (transport === undefined) return;
      transport.detach();
      sockets.delete(transport);
      guard(() => handler?.closed());
    },
  };
}

const forbidden = (why: string | undefined) => (why === undefined ? undefined : refusal(403, why));

function arrivalOf(res: UwsResponse, req: UwsRequest): Arrival {
  const headers = new RequestHeaders(req);
  const requestId = requestIdOf(headers.get("x-request-id"));
  return { res, req, headers, requestId, isHead: req.getMethod().toLowerCase() === "head" };
}

function serveRoutes(
  app: UwsApp,
  { routes, strangersBehind, log }: ListenOptions,
  browsers: BrowserCheck,
): void {
  const bodies = new HeldBodies();
  const peers = new Peers(strangersBehind ?? new Networks([]));
  const parts: ServeParts = {
    bodies,
    peerOf: ({ res, headers }) => peers.keyOf(addressOf(res), headers.get("x-forwarded-for") ?? ""),
    log,
  };
  const router = new Router([...routes, { method: "get", path: SOCKET_PATH, handler: upgradeNeeded }]);
  app.any("/*", (res, req) => {
    const arrival = arrivalOf(res, req);
    const refused = arrival.headers.fault ?? forbidden(browsers.whyNotHost(arrival.headers));
    if (refused) return refuse(arrival, refused);
    const path = req.getUrl();
    const match = router.match(path);
    if (match) return serve(match, arrival, parts);
    const said = JSON.stringify(path.slice(0, MOST_SAID));
    refuse(arrival, refusal(404, `there is nothing at ${said}; WebSockets connect to ${SOCKET_PATH}`));
  });
}
