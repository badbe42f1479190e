import { AgentsSession, type Trouble } from "./agents-session.ts";
import { inParallel } from "./in-parallel.ts";
import { Lane } from "./lane.ts";
import { measure } from "./measure.ts";
import type { LoadOptions } from "./options.ts";
import { ClosedLoop, OpenLoop } from "./pacing.ts";
import { Recorder } from "./recorder.ts";
import type { Summary } from "./summary.ts";

export interface RunOptions extends LoadOptions {
  url: string;
  /** As many as there are sockets times channels. */
  tokens: readonly string[];
  /** Ends the load before its time. */
  stop: AbortSignal;
  /** Told what is done now. */
  onProgress(what: string): void;
}

/** Attaches agents, has them beat, and measures. Rejects when the load cannot go on, or was stopped before it measured. */
export async function runLoad(options: RunOptions): Promise<Summary> {
  const { url, codec, batch, tokens, sockets, channels, rate, stop, onProgress } = options;
  const recorder = new Recorder();
  const pacing = rate === undefined ? new ClosedLoop(recorder) : new OpenLoop(recorder, rate);
  const failure = new AbortController();
  const ended = AbortSignal.any([stop, failure.signal]);
  let errors = 0;
  let firstError: string | undefined;
  let reconnects = 0;
  const trouble: Trouble = {
    error(message) {
      errors += 1;
      firstError ??= message;
    },
    reconnecting() {
      reconnects += 1;
    },
    failed: (why) => failure.abort(why),
  };
  const lanes = Array.from({ length: sockets }, (_, position) => new Lane(position, batch ? channels : 1));
  const sessions = lanes.map((lane, position) => {
    const first = position * channels;
    const own = tokens.slice(first, first + channels);
    return new AgentsSession({ url, codec, batch, tokens: own }, lane, trouble);
  });
  try {
    onProgress(`attaching ${tokens.length} agents over ${sockets} sockets`);
    const aborted = untilAborted(ended);
    await inParallel(sessions, (session) => Promise.race([session.start(), aborted]));
    onProgress("measuring");
    const { seconds, cpu } = await measure(lanes, pacing, recorder, { ...options, stop: ended });
    failure.signal.throwIfAborted();
    return {
      agents: tokens.length,
      sockets,
      channels,
      codec,
      batch,
      rate_asked: rate ?? null,
      seconds,
      acked: recorder.acked,
      rate: recorder.acked / seconds,
      latency_ms: recorder.latencies(),
      lost: recorder.lost,
      errors,
      first_error: firstError ?? null,
      reconnects,
      generator_cpu: cpu,
    };
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
  }
}

/** Rejects with the signal's reason once it is aborted. */
function untilAborted(signal: AbortSignal): Promise<never> {
  const aborted = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  aborted.catch(() => {});
  return aborted;
}
