import { createHash, timingSafeEqual } from "node:crypto";
import { BlockList, isIP } from "node:net";

/** Who asks for the figures. */
export interface Scraper {
  remoteAddress: string;
  /** A header's value by its name in lower case. */
  headers(name: string): string | undefined;
}

/** Why the figures are not for who asks, in words; null: they are. */
export type MetricsAccess = (scraper: Scraper) => string | null;

/** What a proxy writes: who speaks by one is not the peer, and may be anybody. */
const PROXY_HEADERS = [
  "forwarded",
  "via",
  "x-forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-forwarded-server",
  "x-real-ip",
  "x-client-ip",
  "x-original-forwarded-for",
  "x-cluster-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
];

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

const TOKEN_NEEDED = "The figures are for who shows MUSTER_METRICS_TOKEN, as Authorization: Bearer.";

/**
 * The figures are all organizations' together. On the port of everybody: for who shows the token; without one, for peers on
 * this machine, but for nobody where they have a port of their own.
 */
export function metricsAccess({
  metricsToken,
  metricsPort,
}: {
  metricsToken: string | undefined;
  metricsPort: number | undefined;
}): MetricsAccess {
  if (metricsToken !== undefined) return byToken(metricsToken);
  if (metricsPort !== undefined) return () => "The figures are on MUSTER_METRICS_PORT.";
  return ({ remoteAddress, headers }) => {
    const isBehindProxy = PROXY_HEADERS.some((name) => headers(name) !== undefined);
    if (isLoopback(remoteAddress) && !isBehindProxy) return null;
    return "The figures are for peers on this machine, without a proxy. Set MUSTER_METRICS_TOKEN or MUSTER_METRICS_PORT for others.";
  };
}

/** On a port of their own: for whoever reaches it; with a token, for who shows it. */
export function ownPortAccess({ metricsToken }: { metricsToken: string | undefined }): MetricsAccess {
  return metricsToken === undefined ? () => null : byToken(metricsToken);
}

function byToken(token: string): MetricsAccess {
  const kept = digest(token);
  return ({ headers }) => {
    const [, shown = ""] = /^Bearer +(\S+) *$/i.exec(headers("authorization") ?? "") ?? [];
    // Digests are of one length, so that nothing is told by how long the comparison takes.
    return timingSafeEqual(digest(shown), kept) ? null : TOKEN_NEEDED;
  };
}

const digest = (text: string) => createHash("sha256").update(text).digest();

function isLoopback(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && LOOPBACK.check(address, family === 4 ? "ipv4" : "ipv6");
}
