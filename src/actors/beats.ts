import type { BeatBatch, Facts, Report } from "../store/presence.ts";
import { FLAG } from "./columns.ts";
import type { Registry } from "./registry.ts";

/** Agents in one batch at most: a flush stays short, the rest comes with the next. */
const MAX_BATCH = 50_000;
/** Reports in one batch at most: each can be some KiB. */
const MOST_REPORTS = 2_000;
/** Length of a report that is compared with the next one, as JSON. */
const MOST_REMEMBERED = 200;

/** Someone who sent heartbeats and is to hear when they are in Postgres. */
export interface BeatSender {
  /** A batch begins: what was sent so far will be in it. */
  mark(): void;
  /** What was marked is committed. */
  acknowledge(): void;
}

/**
 * Heartbeats between their arrival and Postgres: which agents have a newer last_seen than their row, what they
 * reported, and who is to be acknowledged. Bounded by the number of agents and of sessions.
 */
export class Beats {
  readonly #registry: Registry;
  readonly #wake: () => void;
  readonly #onCommitted: (indexes: readonly number[], reported: readonly number[]) => void;
  #dirty: number[] = [];
  readonly #reports = new Map<number, Report>();
  /** The last word on each agent, where it is short: agents repeat themselves. */
  readonly #said = new Map<number, string>();
  readonly #senders = new Set<BeatSender>();

  /**
   * @param wake told when there is something to take
   * @param onCommitted told whose last_seen, and whose report, Postgres has now
   */
  constructor(
    registry: Registry,
    wake: () => void,
    onCommitted: (indexes: readonly number[], reported: readonly number[]) => void,
  ) {
    this.#registry = registry;
    this.#wake = wake;
    this.#onCommitted = onCommitted;
  }

  /** The short way of a heartbeat. Whether it may be taken is the `restful` flag's to say. */
  touch(index: number, at: number): void {
    const { columns } = this.#registry;
    if (at > (columns.lastSeen[index] ?? 0)) columns.lastSeen[index] = at;
    const flags = columns.flags[index] ?? 0;
    if ((flags & FLAG.dirty) !== 0) return;
    columns.flags[index] = flags | FLAG.dirty;
    if (this.#dirty.push(index) === 1) this.#wake();
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
    if (this.#senders.has(sender)) return;
    this.#senders.add(sender);
    this.#wake();
  }

  forget(sender: BeatSender): void {
    this.#senders.delete(sender);
  }

  /** For the committer: all that came since the last time, up to a bound. */
  take(): BeatBatch | null {
    if (this.#dirty.length === 0 && this.#reports.size === 0 && this.#senders.size === 0) return null;
    const { columns } = this.#registry;
    const indexes = this.#dirty.length <= MAX_BATCH ? this.#dirty : this.#dirty.slice(0, MAX_BATCH);
    this.#dirty = this.#dirty.length <= MAX_BATCH ? [] : this.#dirty.slice(MAX_BATCH);
    // Who waits for something beyond this batch is acknowledged with a later one.
    const isAll = this.#dirty.length === 0 && this.#reports.size <= MOST_REPORTS;
    const senders = isAll ? [...this.#senders] : [];
    for (const sender of senders) {
      this.#senders.delete(sender);
      sender.mark();
    }
    const nos: number[] = [];
    const times: number[] = [];
    for (const index of indexes) {
      columns.set(index, FLAG.dirty, false);
      const at = columns.lastSeen[index] ?? 0;
      // Its agent is gone, and the next holder of the index was never seen.
      if (at === 0) continue;
      nos.push(columns.no[index] ?? 0);
      times.push(at);
    }
    const taken = [...this.#reports].slice(0, MOST_REPORTS);
    const reports = taken.map(([index, report]) => ({
      index,
      no: columns.no[index] ?? 0,
      report,
    }));
    for (const [index] of taken) this.#reports.delete(index);
    return {
      count: nos.length,
      nos,
      times,
      reports,
      committed: () => {
        for (const sender of senders) sender.acknowledge();
        this.#onCommitted(
          indexes,
          reports.map(({ index }) => index),
        );
        if (this.#dirty.length > 0 || this.#reports.size > 0 || this.#senders.size > 0) this.#wake();
      },
      failed: () => {
        for (const index of indexes) if (!columns.has(index, FLAG.dirty)) this.#mark(index);
        for (const { index, no, report } of reports)
          if (columns.no[index] === no) this.#reports.set(index, { ...report, ...this.#reports.get(index) });
        for (const sender of senders) this.#senders.add(sender);
      },
    };
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
