import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Piscina } from "piscina";
import type { Log } from "../../log.ts";
import { GatewayError } from "../driver.ts";
import { FairQueue, QueueFull } from "./fair-queue.ts";
import { PROGRESS, type Rendered, type RenderTask, TAKES_LONGER } from "./render-task.ts";

/** Threads that render at a time, and how many of them one organization may have. */
const THREADS = 2;
const AT_ONCE_OF_ORGANIZATION = 1;
/** Templates of one organization that may wait. Beyond, the step that needs one is tried again later. */
const WAITING_OF_ORGANIZATION = 1_000;
const RETRY_AFTER_MS = 1_000;
/**
 * How long a template may take: time is counted in looks, so that a pause of the whole process counts as one of them. A
 * template that does not give up by itself when its time is over is ended with its thread one look later.
 */
const LOOK_EVERY_MS = 250;
const LOOKS = 4;
/** Looks after which a template that no thread has come to is given up for now: others take long, or threads do not start. */
const LOOKS_FOR_TURN = 120;
/** A thread that nobody needs for so long ends, and gives its memory back. */
const IDLE_MS = 30_000;
/** Of each thread, in MiB: three times what the worst template comes to, which is metered. It holds only if that fails. */
const HEAP = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 16 };

/** A template of a user's, and what it is rendered with. */
export interface TemplateRequest {
  /** How an error names the template. */
  title: string;
  source: string;
  variables: object;
  /** Whose share it counts to. */
  organizationId: string;
  signal: AbortSignal;
}

/**
 * Renders templates that may be hostile, in threads that are started when they are needed: bounded in time, memory, length
 * and in each organization's share. The caller's thread waits for none of it.
 */
export class TemplateRenderer {
  readonly #log: Log;
  readonly #queue = new FairQueue({
    atOnce: THREADS,
    atOnceOfKey: AT_ONCE_OF_ORGANIZATION,
    waitingOfKey: WAITING_OF_ORGANIZATION,
  });
  /** Of each template that waits or is being rendered: ends it. */
  readonly #open = new Set<AbortController>();
  #isStopped = false;
  #pool: Promise<Piscina<RenderTask, Rendered>> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * The template's text.
   *
   * @throws GatewayError: permanent, saying which template and what is wrong with it; transient, when it could not be
   *   rendered now
   */
  async render({ title, source, variables, organizationId, signal }: TemplateRequest): Promise<string> {
    const ending = new AbortController();
    const end = () => ending.abort();
    if (this.#isStopped || signal.aborted) end();
    signal.addEventListener("abort", end, { once: true });
    this.#open.add(ending);
    const progress = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const deadline = watch(progress, ending);
    let rendered: Rendered;
    try {
      rendered = await this.#queue.run(organizationId, ending.signal, () =>
        this.#inThread({ source, variables, progress }, ending.signal),
      );
    } catch (error) {
      throw notNow(title, error);
    } finally {
      clearInterval(deadline);
      signal.removeEventListener("abort", end);
      this.#open.delete(ending);
    }
    if ("problem" in rendered)
      throw new GatewayError(`${title} cannot be rendered: ${rendered.problem}`, { transient: false });
    return rendered.text;
  }

  /** Ends all threads; what waits or is being rendered fails, and can be tried again. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const ending of this.#open) ending.abort();
    await (await this.#pool)?.destroy();
  }

  async #inThread(task: RenderTask, signal: AbortSignal): Promise<Rendered> {
    this.#pool ??= createPool(this.#log);
    try {
      return await (await this.#pool).run(task, { signal });
    } catch (error) {
      if (signal.reason === TAKES_LONGER) return { problem: TAKES_LONGER };
      if (codeOf(error) === "ERR_WORKER_OUT_OF_MEMORY") return { problem: "it needs too much memory" };
      throw error;
    }
  }
}

/** Tells the thread when the time of what it renders is over, and ends it when that does not help. */
function watch(progress: Int32Array, ending: AbortController): NodeJS.Timeout {
  let looks = 0;
  let looksForTurn = 0;
  return setInterval(() => {
    if (Atomics.load(progress, 0) === PROGRESS.waiting) {
      looksForTurn += 1;
      if (looksForTurn > LOOKS_FOR_TURN) ending.abort();
      return;
    }
    looks += 1;
    if (looks === LOOKS) Atomics.store(progress, 0, PROGRESS.over);
    if (looks > LOOKS) ending.abort(TAKES_LONGER);
  }, LOOK_EVERY_MS);
}

async function createPool(log: Log): Promise<Piscina<RenderTask, Rendered>> {
  // Loaded when the first template of a user's comes: a server without any pays nothing for it.
  const { Piscina } = await import("piscina");
  const extension = extname(fileURLToPath(import.meta.url));
  const pool = new Piscina<RenderTask, Rendered>({
    filename: new URL(`./render-worker${extension}`, import.meta.url).href,
    minThreads: 0,
    maxThreads: THREADS,
    idleTimeout: IDLE_MS,
    resourceLimits: HEAP,
    // Secrets of the server's environment have no place there.
    env: {},
    execArgv: extension === ".ts" ? ["--import", import.meta.resolve("tsx")] : [],
    recordTiming: false,
  });
  pool.on("error", (error: unknown) => log.error({ err: error }, "a thread for templates has failed"));
  return pool;
}

function notNow(title: string, cause: unknown): GatewayError {
  const why =
    cause instanceof QueueFull
      ? `${WAITING_OF_ORGANIZATION} templates of this organization wait already`
      : "it was called off, or its turn did not come in time";
  return new GatewayError(`${title} was not rendered: ${why}`, {
    transient: true,
    retryAfterMs: RETRY_AFTER_MS,
    cause,
  });
}

/** A failure's code; empty when it has none. */
function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
