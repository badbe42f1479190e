import type { Lane, Pace } from "./lane.ts";
import type { Recorder } from "./recorder.ts";

/** How often the open loop looks for what is due, in milliseconds. */
const TICK_MS = 1;

/** Decides when lanes send. */
export interface Pacing extends Pace {
  /** Begins; what the lanes have sent before must be settled. */
  start(lanes: readonly Lane[]): void;
  /** Nothing is sent any more; acknowledgements still count. */
  stop(): void;
}

/** Each lane sends its whole round, and again as soon as all of that is acknowledged: as fast as the server goes. */
export class ClosedLoop implements Pacing {
  readonly #recorder: Recorder;
  #isRunning = false;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  start(lanes: readonly Lane[]): void {
    this.#isRunning = true;
    for (const lane of lanes) lane.begin(this);
    for (const lane of lanes) this.ready(lane);
  }

  stop(): void {
    this.#isRunning = false;
  }

  ready(lane: Lane): void {
    if (this.#isRunning && lane.sent === lane.settled) this.#sendRound(lane, performance.now());
  }

  acknowledged(lane: Lane, first: number, end: number): void {
    const now = performance.now();
    this.#recorder.acknowledged(lane.sentAt, now, (end - first) * lane.weight);
    if (this.#isRunning && lane.sent === lane.settled) this.#sendRound(lane, now);
  }

  lost(lane: Lane, count: number): void {
    this.#recorder.gone(performance.now(), count * lane.weight);
  }

  #sendRound(lane: Lane, now: number): void {
    lane.sentAt = now;
    lane.send();
  }
}

/**
 * Frames are due at even intervals, over all lanes in turn, whether the server keeps up or not. A latency counts from the
 * time at which its frame was due: a server that stands still is not let off what should have come meanwhile.
 */
export class OpenLoop implements Pacing {
  readonly #recorder: Recorder;
  readonly #rate: number;
  #lanes: readonly Lane[] = [];
  #timer: NodeJS.Timeout | undefined;
  #startedAt = 0;
  #intervalMs = 0;
  #due = 0;

  /** @param rate heartbeats a second, of all lanes together */
  constructor(recorder: Recorder, rate: number) {
    this.#recorder = recorder;
    this.#rate = rate;
  }

  start(lanes: readonly Lane[]): void {
    this.#lanes = lanes;
    for (const lane of lanes) lane.begin(this);
    this.#intervalMs = (1_000 * (lanes[0]?.weight ?? 1)) / this.#rate;
    this.#startedAt = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const lane of this.#lanes) lane.owed = 0;
  }

  ready(lane: Lane): void {
    while (lane.owed > 0) {
      const went = lane.send(lane.owed);
      if (went === 0) return;
      lane.owed -= went;
    }
  }

  acknowledged(lane: Lane, first: number, end: number): void {
    const now = performance.now();
    for (let count = first; count < end; count++)
      this.#recorder.acknowledged(this.#dueAt(lane, count), now, lane.weight);
  }

  lost(lane: Lane, count: number): void {
    this.#recorder.gone(performance.now(), count * lane.weight);
  }

  /** Lane after lane, one frame each, and from the first again: so a frame's turn follows from its place in its lane. */
  #dueAt(lane: Lane, count: number): number {
    return this.#startedAt + ((count - lane.first) * this.#lanes.length + lane.position) * this.#intervalMs;
  }

  #tick(): void {
    const now = performance.now();
    const due = Math.floor((now - this.#startedAt) / this.#intervalMs) + 1;
    const lanes = this.#lanes;
    const first = this.#due;
    for (let frame = first; frame < due; frame++) {
      const lane = lanes[frame % lanes.length];
      if (lane) lane.owed += 1;
    }
    this.#due = due;
    const touched = Math.min(due - first, lanes.length);
    for (let frame = first; frame < first + touched; frame++) {
      const lane = lanes[frame % lanes.length];
      if (lane === undefined) continue;
      if (lane.isOpen) this.ready(lane);
      else this.#leaveOut(lane, now);
    }
  }

  #leaveOut(lane: Lane, now: number): void {
    lane.leaveOut(lane.owed);
    this.#recorder.gone(now, lane.owed * lane.weight);
    lane.owed = 0;
  }
}
