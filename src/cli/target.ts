import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import { type Client, type ClientOptions, connect, MusterError } from "../client/index.ts";
import { Origin } from "../origin.ts";
import { version } from "../package-root.ts";
import { PROGRAM } from "./program.ts";
import { readTokenFile } from "./token-file.ts";
import { UsageError } from "./usage.ts";

/** The flags by which every verb finds its server. */
export const targetArgs = {
  url: {
    type: "string",
    description: "The server's address; else MUSTER_URL, else the credentials that `serve` keeps",
  },
  token: { type: "string", description: "Your token; else MUSTER_TOKEN, else the kept credentials" },
  "token-file": { type: "string", description: "A file that holds the token" },
} as const;

export const CLIENT = { name: "muster-cli", version };

/** Where to connect, and as whom. */
export interface Target {
  url: string;
  token: string;
}

type Flags = { url?: string | undefined; token?: string | undefined; "token-file"?: string | undefined };
type Environment = Record<string, string | undefined>;

const credentialsSchema = z.object({ url: z.string(), token: z.string() });

/**
 * Server and token from flags, environment or kept credentials, in this order. Throws with what to do.
 *
 * A token that was given goes only to a server that was given too, or to one on this machine: the kept credentials in a
 * folder may be anybody's, and would otherwise say where it is sent.
 */
export function findTarget(flags: Flags, environment: Environment): Target {
  const url = findUrl(flags, environment);
  const fromFile = flags["token-file"] ? readTokenFile(flags["token-file"]) : undefined;
  const given = flags.token || fromFile || environment.MUSTER_TOKEN;
  if (given && !flags.url && !environment.MUSTER_URL && !isLoopback(url))
    throw new UsageError(
      `a token was given, and the server ${url} is known from ${credentialsPath(environment)} alone: ` +
        "name it by --url or MUSTER_URL too",
    );
  const token = given || keptToken(url, environment);
  if (token) return { url, token };
  throw new Error(`no token for ${url}: give --token or --token-file, or set MUSTER_TOKEN`);
}

/** The server's address alone. Throws with what to do, also for plain http to a host that is known by https. */
export function findUrl(flags: Flags, environment: Environment): string {
  const kept = readCredentials(environment)?.url;
  const url = flags.url || environment.MUSTER_URL || kept;
  const secure = [environment.MUSTER_URL, kept].find((known) => known && isSecureFormOf(known, url ?? ""));
  if (secure)
    throw new UsageError(`${url} would send the token unencrypted, and ${secure} is known: use https`);
  if (url) return url;
  throw new Error(
    `no server is known: start one here with \`${PROGRAM} serve\` (it keeps ${credentialsPath(environment)}), ` +
      "or give --url and --token, or set MUSTER_URL and MUSTER_TOKEN",
  );
}

/** Connects a verb to its server. Rejects with what to do. */
export async function openClient(
  flags: Flags,
  options: Pick<ClientOptions, "onState"> = {},
): Promise<Client> {
  const target = findTarget(flags, process.env);
  try {
    return await connect({ ...target, ...options, client: CLIENT });
  } catch (error) {
    if (!(error instanceof MusterError) || error.reason !== "unavailable") throw error;
    // Without a close code it was the server itself that said so: it was reached, and is not what is missing.
    if (error.details.close_code === undefined) throw error;
    throw new Error(
      `cannot reach ${target.url} (${error.message}); is the server running? \`${PROGRAM} serve\``,
    );
  }
}

/** A kept token goes only to the server that it was kept for. */
function keptToken(url: string, environment: Environment): string | undefined {
  const kept = readCredentials(environment);
  const place = kept && placeOf(kept.url);
  return place?.is(placeOf(url)) ? kept?.token : undefined;
}

/** Host, port and whether it is encrypted: `ws` is to `http` as `wss` is to `https`. Undefined: no server's address. */
function placeOf(url: string): Origin | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, host } = new URL(url);
  const scheme = { "http:": "http", "ws:": "http", "https:": "https", "wss:": "https" }[protocol];
  return scheme === undefined ? undefined : Origin.of(scheme, host);
}

/** Whether one URL is the encrypted way to the host that the other names unencrypted. */
function isSecureFormOf(known: string, url: string): boolean {
  const [one, other] = [placeOf(known), placeOf(url)];
  return one?.scheme === "https" && other?.scheme === "http" && one.authority.host === other.authority.host;
}

function isLoopback(url: string): boolean {
  const host = placeOf(url)?.authority.host;
  return (
    host === "localhost" ||
    host === "[::1]" ||
    (host !== undefined && isIPv4(host) && host.startsWith("127."))
  );
}

function credentialsPath(environment: Environment): string {
  return join(environment.MUSTER_DATA_DIR || ".muster", "credentials.json");
}

function readCredentials(environment: Environment): Target | undefined {
  const path = credentialsPath(environment);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return credentialsSchema.parse(JSON.parse(text));
  } catch {
    throw new Error(`${path} is not {"url": "…", "token": "…"}`);
  }
}
