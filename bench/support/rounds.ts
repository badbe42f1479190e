import type { Lane } from "../../src/cli/load/lane.ts";
import { measure } from "../../src/cli/load/measure.ts";
import { ClosedLoop, OpenLoop } from "../../src/cli/load/pacing.ts";
import { Recorder } from "../../src/cli/load/recorder.ts";
import { median } from "./results.ts";

/** What one round of heartbeats came to. */
export interface Round {
  /** Heartbeats acknowledged a second. */
  rate: number;
  /** Milliseconds. */
  p99: number;
  /** Processor time that the server took for a heartbeat, in microseconds. */
  serverUs: number;
}

export interface RoundOptions {
  lanes: readonly Lane[];
  /** Heartbeats a second; undefined: the next goes out when the last is acknowledged. */
  rate?: number;
  warmUpMs: number;
  durationMs: number;
  /** What the server has used so far, in seconds. */
  cpuSeconds: () => Promise<number>;
}

/** Measures once. Rejects when a heartbeat is lost, or none is acknowledged. */
export async function round({ lanes, rate, warmUpMs, durationMs, cpuSeconds }: RoundOptions): Promise<Round> {
  const recorder = new Recorder();
  const pacing = rate === undefined ? new ClosedLoop(recorder) : new OpenLoop(recorder, rate);
  const cpuBefore = await cpuSeconds();
  const began = performance.now();
  const { seconds } = await measure(lanes, pacing, recorder, { warmUpMs, durationMs });
  const cpu = ((await cpuSeconds()) - cpuBefore) / ((performance.now() - began) / 1_000);
  const { p99 } = recorder.latencies();
  if (recorder.lost > 0) throw new Error(`${recorder.lost} heartbeats were lost`);
  if (p99 === null) throw new Error(`no heartbeat was sent and acknowledged within ${durationMs} ms`);
  const acked = recorder.acked / seconds;
  return { rate: acked, p99, serverUs: (cpu * 1e6) / acked };
}

/** The median of some figures, and the least and the greatest: `11,300 (10,900–11,800)`. */
export function spread(values: readonly number[], digits = 0): string {
  const show = (value: number) =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${show(median(values))} (${show(Math.min(...values))}–${show(Math.max(...values))})`;
}
