import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { STATUSES } from "../machines/statuses.ts";
import { ERRORS, type Reason } from "./protocol/errors.ts";
import { METHODS } from "./protocol/methods.ts";

type Status = (typeof STATUSES)[number];

/** A count that costs nothing to raise: Prometheus' own is put together at each scrape. */
export interface Tally {
  inc(by?: number): void;
}

/** What waits for Postgres, for want of its speed or of itself. */
export const BACKLOGS = [
  /** Agents whose last heartbeat is not committed. */
  "heartbeats",
  /** Agents that are given events: one is with Postgres or waits for it, the others wait for that. */
  "agents",
  /** Changes that are decided on, and wait for the next group. */
  "changes",
  /** Heartbeats in the journal since the last checkpoint. */
  "journal",
] as const;

/** The figures of one server, in a registry of its own: a process can run several. */
export interface Metrics {
  /** Sessions that are open. */
  readonly sessions: Gauge;
  /** Heartbeats that are committed. */
  readonly heartbeats: Tally;
  readonly commits: Counter;
  /** In seconds. */
  readonly commitDuration: Histogram;
  /** Rows written by one commit. */
  readonly commitRows: Histogram;
  readonly framesIn: Tally;
  readonly framesOut: Tally;
  /** Counts one request. Names that are no method of ours count as `unknown`, so that clients cannot add series. */
  countRequest(method: string): void;
  /** Counts one error that left the server. */
  countError(reason: Reason): void;
  /** Where the numbers of agents by status come from; asked at each scrape. */
  agentsFrom(count: () => Record<Status, number>): void;
  /** Where the lengths of what waits come from; asked at each scrape. */
  backlogFrom(measure: () => Record<(typeof BACKLOGS)[number], number>): void;
  /** All figures in the text format of Prometheus. */
  text(): Promise<string>;
  /** The media type of that text. */
  readonly contentType: string;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  let count: (() => Record<Status, number>) | undefined;
  new Gauge({
    name: "muster_agents",
    help: "Agents by status",
    labelNames: ["status"],
    registers,
    collect() {
      if (count === undefined) return;
      const counted = count();
      for (const status of STATUSES) this.set({ status }, counted[status]);
    },
  });
  let measure: (() => Record<(typeof BACKLOGS)[number], number>) | undefined;
  new Gauge({
    name: "muster_backlog",
    help: "What waits for Postgres: heartbeats to be committed, agents with events, changes to be committed, and journaled heartbeats to be carried over",
    labelNames: ["kind"],
    registers,
    collect() {
      if (measure === undefined) return;
      const measured = measure();
      for (const kind of BACKLOGS) this.set({ kind }, measured[kind]);
    },
  });
  const requests = new Counter({
    name: "muster_requests_total",
    help: "Requests by method",
    labelNames: ["method"],
    registers,
  });
  const errors = new Counter({
    name: "muster_errors_total",
    help: "Errors that left the server, by reason",
    labelNames: ["reason"],
    registers,
  });
  // So that a rate over the first error of its kind is not lost.
  for (const reason of Object.keys(ERRORS)) errors.inc({ reason }, 0);
  const tally = (name: string, help: string): Tally => {
    let count = 0;
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(count);
      },
    });
    return {
      inc(by = 1) {
        count += by;
      },
    };
  };
  return {
    sessions: new Gauge({ name: "muster_sessions", help: "Open sessions", registers }),
    heartbeats: tally("muster_heartbeats_total", "Heartbeats committed"),
    commits: new Counter({ name: "muster_commits_total", help: "Commits to Postgres", registers }),
    commitDuration: new Histogram({
      name: "muster_commit_duration_seconds",
      help: "How long a commit took",
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
      registers,
    }),
    commitRows: new Histogram({
      name: "muster_commit_rows",
      help: "Rows written by a commit",
      buckets: [1, 10, 100, 1_000, 10_000, 100_000],
      registers,
    }),
    framesIn: tally("muster_frames_in_total", "Frames received"),
    framesOut: tally("muster_frames_out_total", "Frames sent to single sessions"),
    countRequest: (method) => requests.inc({ method: Object.hasOwn(METHODS, method) ? method : "unknown" }),
    countError: (reason) => errors.inc({ reason }),
    agentsFrom(source) {
      count = source;
    },
    backlogFrom(source) {
      measure = source;
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
