import { parseDuration } from "../../protocol/duration.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { wholeNumber } from "../../whole-number.ts";
import { UsageError } from "../usage.ts";

/*
 * Bounds. Heartbeats are numbered within four bytes for each socket: the greatest rate for the longest time, warm-up and all,
 * stays below that. Sockets are below the ports that one address has.
 */
const MOST = { agents: 1_000_000, sockets: 20_000, rate: 1_000_000 } as const;
const LONGEST_MS = 1_800_000;
const LONGEST_WARM_UP_MS = 600_000;

/** What a load is asked to be. */
export interface LoadOptions {
  sockets: number;
  channels: number;
  /** Heartbeats a second; undefined: as many as the server acknowledges. */
  rate: number | undefined;
  batch: boolean;
  codec: "json" | "msgpack";
  warmUpMs: number;
  durationMs: number;
}

type Flags = Record<
  "agents" | "sockets" | "channels" | "rate" | "codec" | "duration" | "warm-up",
  string | undefined
> & { batch?: boolean | undefined };

/**
 * The command line's words as numbers. Agents are sockets × channels: two of the three give the third.
 *
 * @param available how many agents there are to take; undefined: they are made
 * @throws UsageError
 */
export function readOptions(flags: Flags, available: number | undefined): LoadOptions {
  const { sockets, channels } = spread(flags, available);
  const { codec = "json" } = flags;
  if (codec !== "json" && codec !== "msgpack") throw new UsageError("--codec must be json or msgpack");
  return {
    sockets,
    channels,
    rate: count(flags, "rate", MOST.rate),
    batch: flags.batch ?? false,
    codec,
    warmUpMs: duration(flags, "warm-up", 0, LONGEST_WARM_UP_MS) ?? 2_000,
    durationMs: duration(flags, "duration", 1, LONGEST_MS) ?? 10_000,
  };
}

function spread(flags: Flags, available: number | undefined): { sockets: number; channels: number } {
  const asked = count(flags, "agents", MOST.agents);
  const givenSockets = count(flags, "sockets", MOST.sockets);
  const givenChannels = count(flags, "channels", LIMITS.max_channels);
  const bySockets = givenSockets && givenChannels && givenSockets * givenChannels;
  const agents = asked ?? bySockets ?? available ?? DEFAULT_AGENTS;
  const channels = givenChannels ?? (givenSockets === undefined ? 1 : agents / givenSockets);
  const sockets = givenSockets ?? agents / channels;
  if (!Number.isInteger(channels) || !Number.isInteger(sockets) || sockets * channels !== agents)
    throw new UsageError(
      `agents are sockets × channels: ${agents} is not ${times(givenSockets, givenChannels)}`,
    );
  if (agents > MOST.agents) throw new UsageError(`there can be at most ${MOST.agents} agents`);
  if (channels > LIMITS.max_channels)
    throw new UsageError(`a socket carries at most ${LIMITS.max_channels} agents; use more --sockets`);
  if (sockets > MOST.sockets)
    throw new UsageError(`at most ${MOST.sockets} sockets can be opened; use more --channels`);
  if (available !== undefined && agents > available)
    throw new UsageError(`${agents} agents are asked for, and there are ${available} tokens`);
  return { sockets, channels };
}

const DEFAULT_AGENTS = 100;

function times(sockets: number | undefined, channels: number | undefined): string {
  return `${sockets ?? "a whole number"} × ${channels ?? "a whole number"}`;
}

function count(
  flags: Flags,
  name: "agents" | "sockets" | "channels" | "rate",
  most: number,
): number | undefined {
  const text = flags[name];
  if (text === undefined) return undefined;
  const value = wholeNumber(text);
  if (value === undefined || value < 1 || value > most)
    throw new UsageError(`--${name} must be a whole number from 1 to ${most}`);
  return value;
}

function duration(
  flags: Flags,
  name: "duration" | "warm-up",
  least: number,
  most: number,
): number | undefined {
  const text = flags[name];
  if (text === undefined) return undefined;
  const value = parseDuration(text);
  if (value === undefined || value < least || value > most)
    throw new UsageError(`--${name} must be a duration like 500ms, 10s or 5m, at most ${most / 60_000}m`);
  return value;
}
