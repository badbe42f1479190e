import { resolve } from "node:path";
import { z } from "zod";
import { type Authority, parseAuthority, whyNoAuthority } from "./authority.ts";
import { DatabaseUrlError, parseDatabaseUrl } from "./database-url.ts";
import { GatewayHosts } from "./gateway-hosts.ts";
import { Networks } from "./networks.ts";
import { Origin, whyNoOrigin } from "./origin.ts";
import { durationSchema } from "./protocol/duration.ts";
import { wholeNumber } from "./whole-number.ts";

const duration = (fallback: string) => z.string().default(fallback).pipe(durationSchema);
const flag = z
  .enum(["on", "off", "true", "false", "1", "0"])
  .transform((word) => ["on", "true", "1"].includes(word));
const number = (least: number, most: number) =>
  z.string().transform((text, context) => {
    const number = wholeNumber(text);
    if (number !== undefined && number >= least && number <= most) return number;
    const message = `must be a whole number from ${least} to ${most}`;
    context.issues.push({ code: "custom", input: text, message });
    return z.NEVER;
  });
const whole = (fallback: number, least: number, most: number) =>
  z.string().default(String(fallback)).pipe(number(least, most));
/** What stands between commas. */
const listed = (list: string) =>
  list
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
/** A list with commas, each entry read by `parse`, which returns undefined for one that `whyNot` then explains. */
const list = <T>(parse: (entry: string) => T | undefined, whyNot: (entry: string) => string) =>
  z
    .string()
    .default("")
    .transform((text, context) => {
      const entries: T[] = [];
      for (const entry of listed(text)) {
        const read = parse(entry);
        if (read === undefined) context.issues.push({ code: "custom", input: text, message: whyNot(entry) });
        else entries.push(read);
      }
      return Object.freeze(entries);
    });
/** With its scheme, as people write it; a slash at the end means nothing. */
const originIn = (entry: string) => Origin.parse(entry.replace(/\/$/, ""));
const PUBLIC_URL = /^(https?:\/\/[^/?#]+)(?:\/[^?#\s]*)?$/i;
const publicUrl = z.string().transform((url, context) => {
  const origin = Origin.parse(PUBLIC_URL.exec(url)?.[1] ?? "");
  if (origin !== undefined) return { href: url.replace(/\/+$/, ""), origin };
  const message =
    "must be an http or https URL without name, password and query, like https://muster.example.com";
  context.issues.push({ code: "custom", input: url, message });
  return z.NEVER;
});

function networks(list: string, issues: z.RefinementCtx<string>): Networks {
  try {
    return new Networks(listed(list));
  } catch (error) {
    issues.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
    return z.NEVER;
  }
}

/** Every variable that is read, by its full name. The README's table says the same. */
const environmentSchema = z.object({
  HOST: z.string().min(1).default("127.0.0.1"),
  PORT: whole(8787, 0, 65_535),
  DATABASE_URL: z
    .string()
    .superRefine((url, context) => {
      try {
        parseDatabaseUrl(url);
      } catch (error) {
        if (!(error instanceof DatabaseUrlError)) throw error;
        context.addIssue({ code: "custom", message: error.message });
      }
    })
    .optional(),
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
  MUSTER_DATA_DIR: z.string().min(1).default(".muster"),
  MUSTER_PUBLIC_URL: publicUrl.optional(),
  MUSTER_OFFLINE_AFTER: duration("10m"),
  MUSTER_DISCONNECT_GRACE: z.string().pipe(durationSchema).optional(),
  MUSTER_CHECKIN_DEADLINE: duration("30s"),
  MUSTER_COMMIT_INTERVAL: duration("5ms"),
  MUSTER_HISTORY_CHANGES: whole(1_000, 1, 1_000_000),
  MUSTER_HISTORY_BYTES: whole(4_194_304, 1_024, 1_073_741_824),
  MUSTER_HEARTBEAT_EVENTS: z.enum(["transitions", "every"]).default("transitions"),
  MUSTER_MAX_HEARTBEATS_PER_SECOND: whole(50_000, 1, 1_000_000_000),
  MUSTER_ACTIVITY_RETENTION: duration("30d"),
  MUSTER_SECRET_KEY: z.string().min(16, "must be at least 16 characters").optional(),
  MUSTER_SECRET_KEY_OLD: z.string().min(16, "must be at least 16 characters").optional(),
  MUSTER_METRICS_TOKEN: z
    .string()
    .regex(/^[\x21-\x7e]{16,}$/, "must be at least 16 visible ASCII characters, without spaces")
    .optional(),
  MUSTER_METRICS_PORT: number(0, 65_535).optional(),
  MUSTER_ALLOWED_ORIGINS: list(originIn, whyNoOrigin),
  MUSTER_ALLOWED_HOSTS: list(parseAuthority, whyNoAuthority),
  MUSTER_GATEWAY_HOSTS: z
    .string()
    .transform((list, context) => {
      try {
        return GatewayHosts.parse(list);
      } catch (error) {
        context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
        return z.NEVER;
      }
    })
    .optional(),
  MUSTER_TRUSTED_PROXIES: z.string().transform(networks).optional(),
  MUSTER_LOCAL_GATEWAY: flag.optional(),
  MUSTER_LOCAL_AGENTS: whole(50, 1, 10_000),
});

/** The server's settings: validated, frozen, durations in milliseconds. */
export type Config = Readonly<{
  host: string;
  port: number;
  /** Undefined: the embedded Postgres under `dataDir`. */
  databaseUrl: string | undefined;
  logLevel: string;
  /** Absolute. */
  dataDir: string;
  /** How agents and people reach this server, without a trailing slash; undefined: http on host and port. */
  publicUrl: Readonly<{ href: string; origin: Origin }> | undefined;
  offlineAfterMs: number;
  /** How long after the loss of its socket an agent is offline; undefined: only silence counts. */
  disconnectGraceMs: number | undefined;
  checkinDeadlineMs: number;
  commitIntervalMs: number;
  heartbeatEvents: "transitions" | "every";
  /** What all agents on sockets together are told to send at most, in heartbeats a second. */
  maxHeartbeatsPerSecond: number;
  activityRetentionMs: number;
  /** What a topic keeps for those who come back. */
  history: Readonly<{ changes: number; bytes: number }>;
  /** Undefined: a key of its own, kept in `dataDir`. */
  secretKey: string | undefined;
  /** An earlier one, with which what is sealed may still be sealed. */
  secretKeyOld: string | undefined;
  /** Whoever asks for metrics shows it; undefined: nobody needs to. */
  metricsToken: string | undefined;
  /** Which hosts gateways may have; undefined: all but special addresses. */
  gatewayHosts: GatewayHosts | undefined;
  /** A port for metrics alone; undefined: none. */
  metricsPort: number | undefined;
  /** Of web pages, besides the server's own, that may connect. */
  allowedOrigins: readonly Origin[];
  /** Names under which browsers may reach this server, besides its addresses and that of `publicUrl`. */
  allowedHosts: readonly Authority[];
  /** Whose `X-Forwarded-For` is believed. */
  trustedProxies: Networks | undefined;
  localGateway: boolean;
  /** How many agents each gateway of kind local may have. */
  localAgents: number;
}>;

/** A setting that cannot be used; the message names each. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/** Reads the settings from an environment. An empty variable counts as not set. Throws ConfigError. */
export function readConfig(environment: Record<string, string | undefined>): Config {
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ""),
  );
  const parsed = environmentSchema.safeParse(given);
  if (!parsed.success)
    throw new ConfigError(
      parsed.error.issues.map(({ path, message }) => `${String(path[0])}: ${message}`).join("\n"),
    );
  const env = parsed.data;
  if (env.MUSTER_METRICS_PORT === env.PORT && env.PORT !== 0)
    throw new ConfigError("MUSTER_METRICS_PORT: must be another port than PORT");
  return Object.freeze({
    host: env.HOST,
    port: env.PORT,
    databaseUrl: env.DATABASE_URL,
    logLevel: env.LOG_LEVEL,
    dataDir: resolve(env.MUSTER_DATA_DIR),
    publicUrl: env.MUSTER_PUBLIC_URL,
    offlineAfterMs: env.MUSTER_OFFLINE_AFTER,
    disconnectGraceMs: env.MUSTER_DISCONNECT_GRACE,
    checkinDeadlineMs: env.MUSTER_CHECKIN_DEADLINE,
    commitIntervalMs: env.MUSTER_COMMIT_INTERVAL,
    heartbeatEvents: env.MUSTER_HEARTBEAT_EVENTS,
    maxHeartbeatsPerSecond: env.MUSTER_MAX_HEARTBEATS_PER_SECOND,
    activityRetentionMs: env.MUSTER_ACTIVITY_RETENTION,
    history: Object.freeze({ changes: env.MUSTER_HISTORY_CHANGES, bytes: env.MUSTER_HISTORY_BYTES }),
    secretKey: env.MUSTER_SECRET_KEY,
    secretKeyOld: env.MUSTER_SECRET_KEY_OLD,
    metricsToken: env.MUSTER_METRICS_TOKEN,
    gatewayHosts: env.MUSTER_GATEWAY_HOSTS,
    metricsPort: env.MUSTER_METRICS_PORT,
    allowedOrigins: env.MUSTER_ALLOWED_ORIGINS,
    allowedHosts: env.MUSTER_ALLOWED_HOSTS,
    trustedProxies: env.MUSTER_TRUSTED_PROXIES,
    localGateway: env.MUSTER_LOCAL_GATEWAY ?? env.DATABASE_URL === undefined,
    localAgents: env.MUSTER_LOCAL_AGENTS,
  });
}
