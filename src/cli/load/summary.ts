import { showUnseen } from "../../unseen.ts";
import type { Latencies } from "./recorder.ts";

/** This process took so much of one processor that it may be what bounded. */
const BUSY = 0.9;

/** What a load has come to, as `--json` prints it. */
export interface Summary {
  agents: number;
  sockets: number;
  channels: number;
  codec: "json" | "msgpack";
  batch: boolean;
  /** Heartbeats a second that were to be sent; null: as many as were acknowledged. */
  rate_asked: number | null;
  /** How long it was measured. */
  seconds: number;
  /** Heartbeats acknowledged in that time, and how many that were a second. */
  acked: number;
  rate: number;
  /** From when a heartbeat was sent, or at a given rate from when it was due, to its acknowledgement. */
  latency_ms: Latencies;
  /** Heartbeats that were never acknowledged. */
  lost: number;
  /** Times that the server refused something, and what it said first. */
  errors: number;
  first_error: string | null;
  reconnects: number;
  /** The part of one processor that the load itself took. */
  generator_cpu: number;
}

/** A summary for people, as lines. */
export function summaryLines(summary: Summary): string[] {
  const { agents, sockets, channels, codec, batch, rate_asked, seconds, acked, rate, latency_ms } = summary;
  const { lost, errors, first_error, reconnects, generator_cpu } = summary;
  const loop = rate_asked === null ? "closed loop" : `${whole(rate_asked)} heartbeats/s asked for`;
  const { p50, p90, p99, p99_9, max } = latency_ms;
  return [
    `${whole(agents)} agents = ${whole(sockets)} sockets × ${whole(channels)} channels, ${codec}, ` +
      `${batch ? "one frame for all channels" : "one frame a heartbeat"}, ${loop}`,
    `acknowledged  ${whole(acked)} in ${seconds.toFixed(1)} s: ${whole(rate)} heartbeats/s`,
    `latency       p50 ${ms(p50)}  p90 ${ms(p90)}  p99 ${ms(p99)}  p99.9 ${ms(p99_9)}  max ${ms(max)}`,
    `trouble       ${whole(errors)} errors, ${whole(lost)} lost, ${whole(reconnects)} reconnects` +
      (first_error === null ? "" : `; first error: ${showUnseen(first_error)}`),
    `this process  ${Math.round(generator_cpu * 100)} % of a processor` +
      (generator_cpu < BUSY ? "" : ": it may be what bounds, not the server"),
  ];
}

const whole = (value: number) => Math.round(value).toLocaleString("en");

const ms = (value: number | null) => (value === null ? "–" : `${value.toFixed(value < 100 ? 1 : 0)} ms`);
