import type { ActivityRow } from "../store/activity.ts";
import type { BeatEvents } from "../store/beat-events.ts";
import type { BeatBatch } from "../store/heartbeat-writer.ts";
import type { Facts, Report } from "../store/presence.ts";
import type { BeatLog } from "./beat-log.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { FLAG } from "./columns.ts";
import { IndexList } from "./index-list.ts";
import type { Registry } from "./registry.ts";

/** Agents in one batch at most: a flush stays short, the rest comes with the next. */
const MAX_BATCH = 50_000;
/** Reports in one batch at most: each can be some KiB. */
const MOST_REPORTS = 2_000;
/** Length of a report that is compared with the next one, as JSON. */
const MOST_REMEMBERED = 200;

/** Someone who sent heartbeats and is to hear when they are in Postgres. */
export interface BeatSender {
  /** Whether it is among those who are to hear. Kept by Beats. */
  isExpecting: boolean;
  /** A batch begins: what was sent so far will be in it. */
  mark(): void;
  /** What was marked is committed. */
  acknowledge(): void;
}

/** What Postgres has now. */
export interface CommittedBeats {
  /** Whose last_seen. */
  indexes: Int32Array;
  /** Whose report. */
  reported: readonly number[];
  /** New events of heartbeats, where somebody is to be told of them. */
  events: readonly ActivityRow[];
}

/** An agent in a batch: by its small key too, as its index may be another's by the time that the batch is committed. */
interface Reported {
  index: number;
  no: number;
  report: Report;
}

/**
 * Heartbeats between their arrival and Postgres: which agents have a newer last_seen than Postgres, what they
 * reported, and who is to be acknowledged. Bounded by the number of agents and of sessions.
 */
export class Beats {
  readonly #registry: Registry;
  readonly #checkpoint: Pick<Checkpoint, "note" | "reached">;
  readonly #wake: () => void;
  readonly #onCommitted: (committed: CommittedBeats) => void;
  readonly #log: BeatLog | undefined;
  readonly #isTold: () => boolean;
  readonly #dirty = new IndexList();
  readonly #reports = new Map<number, Report>();
  /** The last word on each agent, where it is short: agents repeat themselves. */
  readonly #said = new Map<number, string>();
  #senders: BeatSender[] = [];

  constructor(parts: {
    registry: Registry;
    /** Told whose last_seen stands in the journal. */
    checkpoint: Pick<Checkpoint, "note" | "reached">;
    /** Told when there is something to take. */
    wake: () => void;
    onCommitted: (committed: CommittedBeats) => void;
    /** Where every heartbeat leaves an event; undefined: none does. */
    log?: BeatLog | undefined;
    /** Whether somebody is to be told of these events. */
    isTold?: () => boolean;
  }) {
    this.#registry = parts.registry;
    this.#checkpoint = parts.checkpoint;
    this.#wake = parts.wake;
    this.#onCommitted = parts.onCommitted;
    this.#log = parts.log;
    this.#isTold = parts.isTold ?? (() => false);
  }

  /** Agents whose heartbeats wait. */
  get waiting(): number {
    return this.#dirty.length;
  }

  /** The short way of a heartbeat. Whether it may be taken is the `restful` flag's to say. */
  beat(index: number, at: number): void {
    if (this.#log) this.#record(this.#log, index, at);
    this.touch(index, at);
  }

  /** One event an agent and flush: who beats without end fills neither the log nor the memory before it. */
  #record(log: BeatLog, index: number, at: number): void {
    const { columns } = this.#registry;
    const flags = columns.flags[index] ?? 0;
    if ((flags & FLAG.logged) !== 0) return;
    columns.flags[index] = flags | FLAG.logged;
    log.record(columns.no[index] ?? 0, at);
  }

  /** The same for another sign of life, which leaves no event. */
  touch(index: number, at: number): void {
    const { columns } = this.#registry;
    if (at > (columns.lastSeen[index] ?? 0)) columns.lastSeen[index] = at;
    const flags = columns.flags[index] ?? 0;
    if ((flags & FLAG.dirty) !== 0) return;
    columns.flags[index] = flags | FLAG.dirty;
    this.#dirty.push(index);
    if (this.#dirty.length === 1) this.#wake();
  }

  /** What an agent said of itself with a heartbeat. Only news is written: agents repeat themselves. */
  report(index: number, said: Facts): void {
    const text = JSON.stringify(said);
    const isOld = this.#said.get(index) === text;
    if (text.length <= MOST_REMEMBERED) this.#said.set(index, text);
    else this.#said.delete(index);
    if (!isOld) this.#add(index, { said });
  }

  /** What came of an agent's configuration. */
  configured(index: number, config: Facts): void {
    this.#add(index, { config });
  }

  /** The agent is gone: what waits of it must not become another's. */
  drop(index: number): void {
    this.#reports.delete(index);
    this.#said.delete(index);
  }

  /** The sender waits for what it has sent. */
  expect(sender: BeatSender): void {
    if (sender.isExpecting) return;
    sender.isExpecting = true;
    if (this.#senders.push(sender) === 1) this.#wake();
  }

  /** Nobody is there any more to be told. */
  forget(sender: BeatSender): void {
    if (sender.isExpecting) this.#senders = this.#senders.filter((other) => other !== sender);
    sender.isExpecting = false;
  }

  /** For the committer: all that came since the last time, up to a bound. */
  take(): BeatBatch | null {
    if (this.#isEmpty) return null;
    const { columns } = this.#registry;
    const indexes = this.#dirty.take(MAX_BATCH);
    // Who waits for something beyond this batch is acknowledged with a later one.
    const events = this.#log?.take() ?? null;
    const isLogged = this.#log?.isEmpty ?? true;
    const isAll = isLogged && this.#dirty.length === 0 && this.#reports.size <= MOST_REPORTS;
    const senders = isAll ? this.#senders : [];
    if (isAll) this.#senders = [];
    for (const sender of senders) {
      sender.isExpecting = false;
      sender.mark();
    }
    const nos = new Int32Array(indexes.length);
    const times = new Float64Array(indexes.length);
    let count = 0;
    for (const index of indexes) {
      columns.set(index, FLAG.dirty | FLAG.logged, false);
      const at = columns.lastSeen[index] ?? 0;
      // Its agent is gone, and the next holder of the index was never seen.
      if (at === 0) continue;
      indexes[count] = index;
      nos[count] = columns.no[index] ?? 0;
      times[count] = at;
      count += 1;
    }
    return this.#batch(
      { indexes: indexes.subarray(0, count), nos: nos.subarray(0, count), times: times.subarray(0, count) },
      { reports: this.#takeReports(), events, senders },
    );
  }

  #batch(
    { indexes, nos, times }: { indexes: Int32Array; nos: Int32Array; times: Float64Array },
    {
      reports,
      events,
      senders,
    }: { reports: readonly Reported[]; events: BeatEvents | null; senders: readonly BeatSender[] },
  ): BeatBatch {
    const { columns } = this.#registry;
    return {
      nos,
      times,
      reports,
      events,
      isTold: events !== null && this.#isTold(),
      committed: (seq, entries) => {
        for (let position = 0; position < indexes.length; position++) {
          const index = indexes[position] ?? 0;
          if (columns.no[index] !== nos[position]) continue;
          columns.stored(index, times[position] ?? 0);
          this.#checkpoint.note(index);
        }
        if (seq !== null) this.#checkpoint.reached(seq);
        for (const sender of senders) sender.acknowledge();
        this.#onCommitted({ indexes, reported: reports.map(({ index }) => index), events: entries });
        if (!this.#isEmpty) this.#wake();
      },
      failed: () => {
        if (events) this.#log?.putBack(events);
        for (const index of indexes) if (!columns.has(index, FLAG.dirty)) this.#mark(index);
        for (const { index, no, report } of reports)
          if (columns.no[index] === no) this.#reports.set(index, { ...report, ...this.#reports.get(index) });
        for (const sender of senders) this.expect(sender);
      },
    };
  }

  #takeReports(): Reported[] {
    const taken: Reported[] = [];
    for (const [index, report] of this.#reports) {
      if (taken.length === MOST_REPORTS) break;
      taken.push({ index, no: this.#registry.columns.no[index] ?? 0, report });
      this.#reports.delete(index);
    }
    return taken;
  }

  get #isEmpty(): boolean {
    const isLogged = this.#log?.isEmpty ?? true;
    return isLogged && this.#dirty.length === 0 && this.#reports.size === 0 && this.#senders.length === 0;
  }

  #add(index: number, report: Report): void {
    this.#reports.set(index, { ...this.#reports.get(index), ...report });
    this.#wake();
  }

  #mark(index: number): void {
    if (this.#registry.idOf(index) === undefined) return;
    this.#registry.columns.set(index, FLAG.dirty, true);
    this.#dirty.push(index);
  }
}
