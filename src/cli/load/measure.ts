import type { Lane } from "./lane.ts";
import type { Pacing } from "./pacing.ts";
import type { Recorder } from "./recorder.ts";

/** How long acknowledgements are waited for after the last heartbeat, in milliseconds. */
const SETTLE_MS = 10_000;
const LOOK_MS = 10;

export interface Measured {
  /** How long it was measured, in seconds; shorter than asked when it was stopped. */
  seconds: number;
  /** The part of one processor that this process used meanwhile, from 0 to 1. */
  cpu: number;
}

export interface MeasureOptions {
  warmUpMs: number;
  durationMs: number;
  /** Ends the measurement before its time. */
  stop?: AbortSignal | undefined;
}

/** Has the lanes send, and the recorder count once they are warm. Resolves when what was sent is acknowledged or given up. */
export async function measure(
  lanes: readonly Lane[],
  pacing: Pacing,
  recorder: Recorder,
  { warmUpMs, durationMs, stop }: MeasureOptions,
): Promise<Measured> {
  pacing.start(lanes);
  try {
    await pause(warmUpMs, stop);
    const began = performance.now();
    const cpuBefore = process.cpuUsage();
    recorder.begin(began);
    await pause(durationMs, stop);
    const ended = performance.now();
    const { user, system } = process.cpuUsage(cpuBefore);
    recorder.end(ended);
    pacing.stop();
    const seconds = (ended - began) / 1_000;
    for (const deadline = ended + SETTLE_MS; performance.now() < deadline; await pause(LOOK_MS, stop)) {
      if (stop?.aborted || lanes.every(({ sent, settled }) => sent === settled)) break;
    }
    const open = lanes.reduce((sum, { sent, settled, weight }) => sum + (sent - settled) * weight, 0);
    recorder.gone(ended, open);
    return { seconds, cpu: (user + system) / 1e6 / seconds };
  } finally {
    pacing.stop();
  }
}

/** Waits; no longer than until it is stopped. */
function pause(ms: number, stop: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (stop?.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      stop?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    stop?.addEventListener("abort", end);
  });
}
