import { rm } from "node:fs/promises";
import type { Logger } from "pino";
import { retryDelay } from "../../../machines/backoff.ts";
import type { Cancel, Clock } from "../../clock.ts";
import type { Child, Command, StartChild } from "./child.ts";
import { endLeftover } from "./leftover.ts";
import type { Workspace } from "./workspace.ts";

/** A process that ran this long was well: the next failure counts as the first. */
const WELL_AFTER_MS = 60_000;
/** From the polite signal to the other one. */
const GRACE_MS = 5_000;

export interface RunnerParts {
  workspace: Workspace;
  command: () => Command;
  startChild: StartChild;
  clock: Clock;
  log: Logger;
  /** From 0 to 1. */
  random: () => number;
  /** Runs a task when no other work on this agent runs. */
  exclusively: (task: () => Promise<void>) => Promise<void>;
}

/**
 * Keeps one process running for one agent: never two, and started anew with growing pauses when it dies. `start`,
 * `keep` and `end` are called one at a time.
 */
export class Runner {
  readonly workspace: Workspace;
  /** The piece of work that the process was last started for. */
  generation: number;
  /** Files that the process has read have changed since. */
  outdated = false;
  readonly #parts: RunnerParts;
  #child: Child | undefined;
  #startedAt = 0;
  #failures = 0;
  #wanted = false;
  #cancelRetry: Cancel = () => {};

  constructor(parts: RunnerParts, generation: number) {
    this.#parts = parts;
    this.workspace = parts.workspace;
    this.generation = generation;
  }

  /** Makes sure that the process runs. Rejects when it cannot be started now. */
  async start(): Promise<void> {
    this.#wanted = true;
    this.#cancelRetry();
    if (this.#child) return;
    await endLeftover(this.workspace);
    const child = await this.#parts.startChild(this.#parts.command());
    this.#child = child;
    this.#startedAt = this.#parts.clock.now();
    this.outdated = false;
    void child.ended.then((how) => this.#onEnd(child, how));
    await this.workspace.write(this.workspace.pidFile, `${child.pid}\n`, 0o600);
  }

  /** As `start`, but what cannot be started now is tried again later. */
  async keep(): Promise<void> {
    try {
      await this.start();
    } catch (error) {
      this.#parts.log.warn({ err: error }, "the runner of an agent could not be started");
      if (this.#child === undefined) this.#retryLater();
    }
  }

  /** Ends the process and waits until it is gone; it is not started again by itself. */
  async end(): Promise<void> {
    this.#wanted = false;
    this.#cancelRetry();
    const child = this.#child;
    if (child === undefined) return;
    child.kill("SIGTERM");
    const insist = setTimeout(() => child.kill("SIGKILL"), GRACE_MS);
    await child.ended;
    clearTimeout(insist);
    this.#child = undefined;
    await rm(this.workspace.pidFile, { force: true });
  }

  #onEnd(child: Child, how: string): void {
    if (this.#child !== child || !this.#wanted) return;
    this.#child = undefined;
    const { clock, log } = this.#parts;
    if (clock.now() - this.#startedAt >= WELL_AFTER_MS) this.#failures = 0;
    log.warn({ how }, "the runner of an agent ended by itself");
    this.#retryLater();
  }

  #retryLater(): void {
    const { clock, random, exclusively } = this.#parts;
    this.#failures += 1;
    // Half of each pause is certain: a runner that cannot live must not be started in a tight loop.
    const pause = retryDelay(this.#failures, 0.5 + random() / 2);
    this.#cancelRetry();
    this.#cancelRetry = clock.after(pause, () => {
      void exclusively(async () => {
        if (this.#wanted && this.#child === undefined) await this.keep();
      });
    });
  }
}
