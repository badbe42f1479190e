import { readFileSync } from "node:fs";
import { join } from "node:path";
import { WebSocket } from "ws";
import type { Failure } from "../../../machines/gateway-link.ts";
import type { Clock } from "../../clock.ts";
import { packageRoot } from "../../package-root.ts";
import type { GatewayBrief } from "../driver.ts";
import { type Device, signedDevice } from "./device.ts";
import { closedSocket, failedDial, refusedHandshake, unusableUrl } from "./failures.ts";
import { challenge, type GatewayFrame, helloOk, readFrame } from "./frames.ts";

/** How long a gateway may take to be ready for requests, in milliseconds. */
const HANDSHAKE_MS = 10_000;
/** Bytes of one frame that a gateway may send. */
const MOST_RECEIVED = 64 * 1_048_576;
/** Bytes of one frame that every version takes, for those that do not say. */
const SMALLEST_MAX_PAYLOAD = 524_288;

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
  frame(frame: GatewayFrame): void;
  /** Anything was heard. */
  heard(): void;
  failed(failure: Failure): void;
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
  events: SocketEvents,
): GatewaySocket {
  try {
    return shakeHands(socketUrl(gateway.url), gateway, device, clock, events);
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
  events: SocketEvents,
): GatewaySocket {
  // No Origin and no headers of a proxy: gateways take those for a browser or a stranger.
  const socket = new WebSocket(address, {
    maxPayload: MOST_RECEIVED,
    rejectUnauthorized: !allowInsecureTls,
    perMessageDeflate: false,
  });
  let state: "shaking" | "ready" | "over" = "shaking";
  /** Until the challenge is answered: a link outlives its handshake, and need not keep the key. */
  let signer: Device | null = device;

  const end = () => {
    if (state === "over") return;
    state = "over";
    cancelTimeout();
    socket.terminate();
  };
  const fail = (failure: Failure) => {
    if (state === "over") return;
    end();
    events.failed(failure);
  };
  const cancelTimeout = clock.after(HANDSHAKE_MS, () =>
    fail({
      kind: "unreachable",
      error: `The gateway at ${address.host} did not shake hands within ${HANDSHAKE_MS / 1_000} s`,
      hint: "Is the URL that of the OpenClaw gateway, with its port?",
      pairingRequestId: null,
      retryAfterMs: 0,
    }),
  );

  const answerChallenge = (payload: unknown) => {
    const asked = challenge.safeParse(payload).data;
    if (!asked || signer === null) return;
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
        signedAt: asked.ts,
        token: token ?? "",
        nonce: asked.nonce,
      }),
    };
    signer = null;
    socket.send(JSON.stringify({ type: "req", id: HANDSHAKE_ID, method: "connect", params }));
  };

  const shake = (frame: GatewayFrame) => {
    if (frame.type === "event") {
      if (frame.event === "connect.challenge") answerChallenge(frame.payload);
      return;
    }
    if (frame.id !== HANDSHAKE_ID) return;
    // Its words of why it ends the connection come before it does.
    if (!frame.ok)
      return fail(
        refusedHandshake(frame.error ?? { code: "UNKNOWN", message: "The gateway gave no reason." }),
      );
    const hello = helloOk.safeParse(frame.payload).data;
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

  socket.on("message", (data, isBinary) => {
    if (state === "over") return;
    events.heard();
    const frame = isBinary ? undefined : readFrame(String(data));
    if (!frame) return;
    if (state === "shaking") shake(frame);
    else events.frame(frame);
  });
  socket.on("ping", () => {
    if (state !== "over") events.heard();
  });
  socket.on("error", (error) => fail(failedDial(error, address)));
  socket.on("close", (code, reason) => fail(closedSocket(code, String(reason).slice(0, 200))));

  return {
    send: (text) => {
      if (state === "ready") socket.send(text);
    },
    end,
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
