import type { Failure } from "../../../machines/gateway-link.ts";
import { GatewayError } from "../driver.ts";
import type { FrameError } from "./frames.ts";
import { words } from "./said.ts";

/** A gateway's answer that says no. */
export class GatewayRefusal extends GatewayError {
  override name = "GatewayRefusal";
  readonly code: string;
  /** The gateway's own words, without a hint. */
  readonly said: string;
  readonly details: Record<string, unknown>;

  constructor({ code, message, details, retryAfterMs }: FrameError, transient: boolean) {
    super(withHint(message, hintFor(message, details)), { transient, retryAfterMs: retryAfterMs ?? 0 });
    this.code = code;
    this.said = message;
    this.details = details ?? {};
  }
}

/** The link went away before the answer came: whether a request that was sent was carried out is not known. */
export class LinkLost extends GatewayError {
  override name = "LinkLost";
  readonly wasSent: boolean;

  constructor(message: string, { wasSent }: { wasSent: boolean }) {
    super(message, { transient: true });
    this.wasSent = wasSent;
  }
}

/** A gateway that restarts may answer so for some seconds before it hangs up: asking again at once does not help. */
const RESTARTING_MS = 2_000;

/** Whether a gateway says with an answer that it is about to restart. */
export const announcesRestart = ({ code, message }: FrameError): boolean =>
  code === "UNAVAILABLE" && /during gateway restart/i.test(message);

/** What a failed answer to a request means: whether trying again can help, and after how long. */
export function refusalOf(error: FrameError): GatewayRefusal {
  if (announcesRestart(error))
    return new GatewayRefusal(
      { ...error, retryAfterMs: Math.max(RESTARTING_MS, error.retryAfterMs ?? 0) },
      true,
    );
  const transient =
    error.retryable === true ||
    error.code === "UNAVAILABLE" ||
    /config changed since last load|rate limit/i.test(error.message);
  return new GatewayRefusal(error, transient);
}

/** What a refused handshake means for the link. */
export function refusedHandshake(error: FrameError): Failure {
  const { code, message, details = {}, retryAfterMs = 0 } = error;
  // It becomes a part of a line that people paste into a shell.
  const requestId =
    typeof details.requestId === "string" && /^[\w.:-]{1,200}$/.test(details.requestId)
      ? details.requestId
      : null;
  const about = { error: message, hint: hintFor(message, details), retryAfterMs };
  if (requestId !== null && (code === "NOT_PAIRED" || details.code === "PAIRING_REQUIRED"))
    return {
      ...about,
      kind: "pairing",
      pairingRequestId: requestId,
      hint: `Approve the request ${requestId} on the gateway, for instance: openclaw devices approve ${requestId}`,
    };
  if (details.code === "AUTH_RATE_LIMITED") return { ...about, kind: "unreachable", pairingRequestId: null };
  if (code === "UNAVAILABLE") return { ...about, kind: "restarting", pairingRequestId: null };
  const kind = error.retryable === true ? "unreachable" : "refused";
  return { ...about, kind, pairingRequestId: null };
}

/** The codes by which gateways say why they close. */
const CLOSE_CODES = new Set([1002, 1008, 1012, 1013, 4001]);

/** Whether a socket was closed in a way that only a gateway would choose, before it said anything else. */
export const isGatewaysClose = (code: number): boolean => CLOSE_CODES.has(code);

/** What a closed socket means for the link. */
export function closedSocket(code: number, reason: string): Failure {
  const said = reason === "" ? "" : `: ${words(reason, 200)}`;
  const about = { retryAfterMs: 0, pairingRequestId: null, hint: null };
  if (code === 1012 || code === 1013)
    return { ...about, kind: "restarting", error: `The gateway is restarting${said}` };
  if (code === 1008 || code === 1002)
    return {
      ...about,
      kind: "refused",
      error: `The gateway ended the connection (${code})${said}`,
      hint: hintFor(reason),
    };
  if (code === 1009)
    return {
      ...about,
      kind: "unreachable",
      error: "The gateway ended the connection: a frame was too large",
    };
  if (code === 4001)
    return { ...about, kind: "unreachable", error: `The gateway's own settings have changed${said}` };
  return { ...about, kind: "unreachable", error: `The connection to the gateway was lost (${code})${said}` };
}

const UNREACHABLE = {
  kind: "unreachable",
  hint: null,
  pairingRequestId: null,
  retryAfterMs: 0,
} as const;

/**
 * What it means for the link that there is no gateway to talk to, whatever the cause: refused, silent, something else,
 * unresolved or forbidden. The words are the same for all, since whoever may name gateways is not to learn what else is
 * in the server's network. The server's log has the cause.
 */
export function unreachable(url: URL): Failure {
  return {
    ...UNREACHABLE,
    error: `The gateway at ${url.host} cannot be reached`,
    hint:
      "Is it running, are scheme, host and port right, and may this server connect there (a firewall, a proxy in between, " +
      "MUSTER_GATEWAY_HOSTS)? A certificate that this machine does not trust needs allow_insecure_tls. The server's log has the cause.",
  };
}

/** How long a gateway that sent more than it may is left alone, in milliseconds. */
const FLOOD_MS = 60_000;

/** What it means for the link that the gateway sent more than it was asked for, or does not read what it asks for. */
export function excessive(what: string): Failure {
  return {
    ...UNREACHABLE,
    error: `The connection was given up: the gateway ${what}`,
    retryAfterMs: FLOOD_MS,
  };
}

/** What a URL that cannot be dialled means for the link. */
export function unusableUrl(): Failure {
  return {
    kind: "refused",
    error: "The gateway's url cannot be dialled",
    hint: "It must be a WebSocket URL like ws://127.0.0.1:18789: set it with gateway.update.",
    pairingRequestId: null,
    retryAfterMs: 0,
  };
}

/** What a connection over which nothing came for so many milliseconds means for the link. */
export function silentGateway(ms: number): Failure {
  return { ...UNREACHABLE, error: `Nothing was heard of the gateway for ${ms / 1_000} s` };
}

/** What it means for the link that this server's own key is not at hand. */
export function unreadableKey(): Failure {
  return { ...UNREACHABLE, error: "This server's key for the gateway could not be read" };
}

const HINTS: readonly [RegExp, string][] = [
  [
    /token mismatch|token missing|unauthorized|rotate\/reissue/i,
    "Set the gateway's token (gateway.auth.token of its openclaw.json) with gateway.update.",
  ],
  [
    /protocol mismatch/i,
    "This server speaks the gateway protocol 3 and 4: another version of the gateway is needed.",
  ],
  [/signature expired/i, "The clocks of this machine and the gateway's differ by minutes: set them right."],
  [
    /missing scope/i,
    "This server's device needs the scopes operator.admin, operator.read and operator.write on the gateway.",
  ],
  [
    /device identity|device nonce|device signature/i,
    "Remove this server's device on the gateway, then try again with gateway.retry.",
  ],
  [/rate limit/i, "It goes on by itself when the gateway allows it."],
  [
    /base hash|config changed since/i,
    "Somebody else changes the gateway's configuration at the same time; it is tried again.",
  ],
  [
    /invalid config/i,
    "The gateway does not accept this configuration: look at heartbeat_config of the agent.",
  ],
];

function hintFor(message: string, details: Record<string, unknown> = {}): string | null {
  const texts = [message, typeof details.code === "string" ? details.code.replaceAll("_", " ") : ""];
  return HINTS.find(([pattern]) => texts.some((text) => pattern.test(text)))?.[1] ?? null;
}

/** A sentence and what to do about it. */
export function withHint(message: string, hint: string | null): string {
  return hint === null ? message : `${message}${/[.!?]$/.test(message) ? "" : "."} ${hint}`;
}
