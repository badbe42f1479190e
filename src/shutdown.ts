import type { Log } from "./log.ts";

/** How long one part may take to stop, unless it says otherwise, in milliseconds. */
const PART_MS = 10_000;

interface Part {
  name: string;
  stop: () => unknown;
  withinMs: number;
}

/**
 * What is to be stopped, in the reverse order of the start. A part that fails, or does not come to an end in its time, is
 * logged and left behind: the rest, and Postgres at the very end, must be stopped all the same.
 */
export class Shutdown {
  readonly #parts: Part[] = [];
  readonly #log: Log;
  #running: Promise<void> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** A part that runs from now on. */
  add(name: string, stop: () => unknown, withinMs = PART_MS): void {
    this.#parts.push({ name, stop, withinMs });
  }

  /** Stops all parts. Never rejects; called again, it waits for the same end. */
  run(): Promise<void> {
    this.#running ??= this.#stopAll();
    return this.#running;
  }

  async #stopAll(): Promise<void> {
    for (let part = this.#parts.pop(); part; part = this.#parts.pop()) await this.#stopOne(part);
  }

  async #stopOne({ name, stop, withinMs }: Part): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#log.error({ part: name, withinMs }, "a part of the server does not stop: it is left behind");
        resolve();
      }, withinMs);
    });
    const stopped = (async () => {
      try {
        await stop();
      } catch (error) {
        this.#log.error({ err: error, part: name }, "a part of the server failed to stop");
      }
    })();
    await Promise.race([stopped, late]);
    clearTimeout(timer);
  }
}
