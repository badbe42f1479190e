import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { WebSocket } from "ws";
import type { Failure } from "../../../machines/gateway-link.ts";
import type { Clock } from "../../clock.ts";
import { bare, type GatewayHosts } from "../../gateway-hosts.ts";
import { packageRoot } from "../../package-root.ts";
import { atOnce, inSlices } from "../../slices.ts";
import type { GatewayBrief } from "../driver.ts";
import type { Allowance } from "./allowance.ts";
import { type Device, signedDevice } from "./device.ts";
import {
  closedSocket,
  excessive,
  isGatewaysClose,
  refusedHandshake,
  unreachable,
  unusableUrl,
} from "./failures.ts";
import { challenge, type GatewayFrame, helloOk, payloadOf, readFrame, SMALL_FRAME } from "./frames.ts";
import { ForbiddenHost, guardedLookup } from "./guarded-lookup.ts";
import type { HeldBytes } from "./held-bytes.ts";
import { Inbox } from "./inbox.ts";

/** How long a gateway may take to be ready for requests, in milliseconds. */
const HANDSHAKE_MS = 10_000;
/** Bytes of one frame while an answer that may be large is awaited: gateways themselves send no more than 25 MiB. */
const LARGE_FRAME = 32 * 1_048_576;
/** Bytes of ours that a gateway may leave unread: two of the largest frames that it takes. */
const MOST_UNREAD = 64 * 1_048_576;
/** Bytes of one frame that every version takes, for those that do not say. */
const SMALLEST_MAX_PAYLOAD = 524_288;

const UNASKED = "sent a large frame that it was not asked for";

const PROTOCOLS = { least: 3, greatest: 4 } as const;
/** One that every version knows: a name of our own would be refused. */
const CLIENT = { id: "gateway-client", mode: "backend" } as const;
const ROLE = "operator";
const SCOPES = [
  "operator.admin",
  "operator.read",
  "operator.write",
  "operator.approvals",
  "operator.pairing",
] as const;
const NEEDED_SCOPES = ["operator.admin", "operator.read", "operator.write"] as const;
const HANDSHAKE_ID = "connect";

/** What a gateway said of itself when the link became ready. */
export interface Hello {
  protocol: number;
  /** Null where the gateway does not tell. */
  version: string | null;
  /** Bytes of one frame that it takes. */
  maxPayload: number;
}

/** Called at most once each for ready and failed; nothing is called after failed or `end`. */
export interface SocketEvents {
  ready(hello: Hello): void;
  /** The promise of what takes several turns of the event loop; until then no other frame comes. It does not reject. */
  frame(frame: GatewayFrame): Promise<void> | undefined;
  /** Anything was heard. */
  heard(): void;
  /** `cause`: what is for the log alone. */
  failed(failure: Failure, cause?: unknown): void;
}

/** What a connection may do. */
export interface SocketBounds {
  hosts: GatewayHosts;
  /** What the gateway may send without being asked. */
  allowance: Allowance;
  held: HeldBytes;
  /** What was asked of the gateway. */
  asked: {
    readonly awaitLarge: boolean;
    isAwaited(frame: GatewayFrame): boolean;
    isLarge(frame: GatewayFrame): boolean;
  };
}

export interface GatewaySocket {
  send(text: string): void;
  /** Ends it without a word. */
  end(): void;
}

const { version: OWN_VERSION } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8"));

/** The address of a gateway's socket: people also give the one of its page. */
function socketUrl(url: string): URL {
  const address = new URL(url);
  if (address.protocol === "http:") address.protocol = "ws:";
  if (address.protocol === "https:") address.protocol = "wss:";
  address.hash = "";
  return address;
}

/** Opens a connection to a gateway and shakes hands. Its events come later than its return. */
export function dialGateway(
  gateway: Pick<GatewayBrief, "token" | "allowInsecureTls"> & { url: string },
  device: Device,
  clock: Clock,
  bounds: SocketBounds,
  events: SocketEvents,
): GatewaySocket {
  try {
    return shakeHands(socketUrl(gateway.url), gateway, device, clock, bounds, events);
  } catch {
    let isOver = false;
    queueMicrotask(() => {
      if (!isOver) events.failed(unusableUrl());
    });
    return {
      send: () => {},
      end: () => {
        isOver = true;
      },
    };
  }
}

/** Throws where the address is none for a socket. */
function shakeHands(
  address: URL,
  { token, allowInsecureTls }: Pick<GatewayBrief, "token" | "allowInsecureTls">,
  device: Device,
  clock: Clock,
  { hosts, allowance, held, asked }: SocketBounds,
  events: SocketEvents,
): GatewaySocket {
  const host = bare(address.hostname);
  // An address is dialled without being looked up.
  if (isIP(host) !== 0 && !hosts.mayDial(host, host)) return undialled(address, host, events);
  // No Origin and no headers of a proxy: gateways take those for a browser or a stranger.
  const options = {
    maxPayload: LARGE_FRAME,
    rejectUnauthorized: !allowInsecureTls,
    perMessageDeflate: false,
    followRedirects: false,
    autoPong: false,
    lookup: guardedLookup(hosts),
  };
  const socket = new WebSocket(address, options);
  let state: "shaking" | "ready" | "over" = "shaking";
  /** Until the challenge is answered: a link outlives its handshake, and need not keep the key. */
  let signer: Device | null = device;
  const holder = { bytes: 0, drop: () => fail(excessive("sent more than there is room for")) };

  const end = () => {
    if (state === "over") return;
    state = "over";
    cancelTimeout();
    inbox.close();
    held.set(holder, 0);
    socket.terminate();
  };
  const fail = (failure: Failure, cause?: unknown) => {
    if (state === "over") return;
    end();
    events.failed(failure, cause);
  };
  const cancelTimeout = clock.after(HANDSHAKE_MS, () =>
    fail(unreachable(address), `it did not shake hands within ${HANDSHAKE_MS / 1_000} s`),
  );
  /** Whether the gateway may send so much without being asked; the connection ends if not. */
  const mayTell = (bytes: number): boolean => {
    if (state !== "over" && allowance.take(bytes)) return true;
    fail(excessive("sent more than it was asked for"));
    return false;
  };

  const answerChallenge = (payload: unknown) => {
    const posed = challenge.safeParse(payload).data;
    if (!posed || signer === null) return;
    const auth = token === null ? {} : { auth: { token } };
    const params = {
      minProtocol: PROTOCOLS.least,
      maxProtocol: PROTOCOLS.greatest,
      client: { ...CLIENT, version: String(OWN_VERSION), platform: process.platform },
      role: ROLE,
      scopes: SCOPES,
      caps: [],
      ...auth,
      device: signedDevice(signer, {
        clientId: CLIENT.id,
        clientMode: CLIENT.mode,
        role: ROLE,
        scopes: SCOPES,
        signedAt: posed.ts,
        token: token ?? "",
        nonce: posed.nonce,
      }),
    };
    signer = null;
    socket.send(JSON.stringify({ type: "req", id: HANDSHAKE_ID, method: "connect", params }));
  };

  const shake = (frame: GatewayFrame) => {
    if (frame.type === "event") {
      if (frame.event === "connect.challenge") answerChallenge(payloadOf(frame));
      return;
    }
    if (frame.id !== HANDSHAKE_ID) return;
    // Its words of why it ends the connection come before it does.
    if (!frame.ok)
      return fail(
        refusedHandshake(frame.error ?? { code: "UNKNOWN", message: "The gateway gave no reason." }),
      );
    const hello = helloOk.safeParse(payloadOf(frame)).data;
    if (!hello) return fail(strange(address.host));
    const missing = NEEDED_SCOPES.filter((scope) => !(hello.auth?.scopes?.includes(scope) ?? true));
    if (missing.length > 0)
      return fail(refusedHandshake({ code: "FORBIDDEN", message: `missing scope: ${missing.join(", ")}` }));
    state = "ready";
    cancelTimeout();
    events.ready({
      protocol: hello.protocol,
      version: versionOf(hello.server?.version),
      maxPayload: hello.policy?.maxPayload ?? SMALLEST_MAX_PAYLOAD,
    });
  };

  const take = (frame: GatewayFrame | undefined, bytes: number): Promise<void> | undefined => {
    if (state === "over") return undefined;
    if (bytes > SMALL_FRAME && !(frame && asked.isLarge(frame))) {
      fail(excessive(UNASKED));
      return undefined;
    }
    if (!(frame && asked.isAwaited(frame)) && !mayTell(bytes)) return undefined;
    if (!frame) return undefined;
    if (state === "ready") return events.frame(frame);
    shake(frame);
    return undefined;
  };
  const read = async (message: Buffer): Promise<void> => {
    held.set(holder, message.length);
    const frame = await inSlices(readFrame(message)).catch(() => undefined);
    await take(frame, message.length);
    if (state !== "over") held.set(holder, 0);
  };
  const inbox = new Inbox(socket, (message) => {
    if (message.length > SMALL_FRAME)
      return read(message).catch((error) => fail(strange(address.host), error));
    let frame: GatewayFrame | undefined;
    try {
      frame = atOnce(readFrame(message));
    } catch {
      // It is no frame.
    }
    return take(frame, message.length);
  });

  socket.on("message", (data, isBinary) => {
    if (state === "over") return;
    held.set(holder, 0);
    events.heard();
    // Text comes in one buffer.
    if (isBinary || !Buffer.isBuffer(data)) return void mayTell(0);
    if (data.length > SMALL_FRAME && !asked.awaitLarge) return fail(excessive(UNASKED));
    try {
      inbox.push(data);
    } catch (error) {
      fail(strange(address.host), error);
    }
  });
  socket.on("upgrade", ({ socket: connection }) => {
    // Behind the socket's own listener, which tells of a whole message first.
    socket.once("open", () =>
      connection.on("data", (chunk: Buffer) => {
        if (state === "over") return;
        if (holder.bytes > SMALL_FRAME && !asked.awaitLarge) fail(excessive(UNASKED));
        else held.set(holder, holder.bytes + chunk.length);
      }),
    );
  });
  let pingToAnswer: Buffer | undefined;
  socket.on("ping", (data) => {
    if (state === "over") return;
    events.heard();
    if (!mayTell(data.length)) return;
    // Of several in one turn of the event loop, the last one is answered.
    if (pingToAnswer === undefined)
      setImmediate(() => {
        const answer = pingToAnswer;
        pingToAnswer = undefined;
        if (state !== "over" && socket.bufferedAmount <= MOST_UNREAD) socket.pong(answer);
      });
    pingToAnswer = data;
  });
  socket.on("pong", (data) => {
    if (state !== "over") mayTell(data.length);
  });
  socket.on("error", (error) => {
    if (state === "shaking") fail(unreachable(address), error);
    else fail(closedSocket(1006, ""), error);
  });
  socket.on("close", (code, reason) => {
    if (state === "shaking" && !isGatewaysClose(code))
      fail(unreachable(address), `it was closed with ${code}`);
    else fail(closedSocket(code, String(reason)));
  });

  return {
    send: (text) => {
      if (state !== "ready") return;
      if (socket.bufferedAmount > MOST_UNREAD) fail(excessive("does not read what it is sent"));
      else socket.send(text);
    },
    end,
  };
}

/** In the place of a connection that may not be made. Its failure comes later, like that of any other. */
function undialled(address: URL, host: string, events: SocketEvents): GatewaySocket {
  let isOver = false;
  setImmediate(() => {
    if (!isOver) events.failed(unreachable(address), new ForbiddenHost(`${host} is no gateway's address`));
  });
  return {
    send: () => {},
    end: () => {
      isOver = true;
    },
  };
}

/** Builds from a package registry call themselves "dev", which tells nothing. */
const versionOf = (version: string | null | undefined) =>
  version === undefined || version === "dev" ? null : version;

function strange(host: string): Failure {
  return {
    kind: "refused",
    error: `${host} answered the handshake in a form that is not known`,
    hint: "This server speaks the gateway protocol 3 and 4: another version of the gateway is needed.",
    pairingRequestId: null,
    retryAfterMs: 0,
  };
}
