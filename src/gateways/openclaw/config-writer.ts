import { z } from "zod";
import type { Clock } from "../../clock.ts";
import { GatewayError } from "../driver.ts";
import { OWN_AGENT } from "./agents.ts";
import type { Ask } from "./ask.ts";
import {
  differs,
  type GatewayConfig,
  type GatewayVersion,
  heartbeatIn,
  heartbeatPatch,
  readGatewayConfig,
} from "./config.ts";
import { GatewayRefusal, LinkLost } from "./failures.ts";

/** A patch waits until nothing more was wanted for so long, but no longer than `most`, in milliseconds. */
const GATHER_MS = { quiet: 300, most: 2_000 } as const;
/** Patches written for one gathering: another hand may have changed the configuration, or a restart swallowed one. */
const MOST_ROUNDS = 6;
/** Patches a minute that gateways allow, by how they keep their agents; those of protocol 3 have no limit. */
const LIMITS = { entries: 28, list: 3 } as const;
const LIMIT_WINDOW_MS = 61_000;

/** Does something when all other writes to the gateway's configuration that came before are done. */
type InTurn = (write: () => Promise<number>) => Promise<number>;

interface Want {
  heartbeat: Record<string, unknown>;
  signal: AbortSignal;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Writes agents' heartbeats into one gateway's configuration: only what differs, many in one patch, one patch at a time,
 * and not more often than the gateway allows. A patch can restart a gateway.
 */
export class ConfigWriter {
  readonly #ask: Ask;
  readonly #inTurn: InTurn;
  readonly #gateway: () => GatewayVersion;
  readonly #clock: Clock;
  #wants = new Map<string, Want>();
  #timer: NodeJS.Timeout | undefined;
  #gatheringSince = 0;
  #isWriting = false;
  /** When the latest patches were sent, milliseconds since the epoch. */
  #sent: number[] = [];
  #notBefore = 0;

  constructor({
    ask,
    inTurn,
    gateway,
    clock,
  }: {
    ask: Ask;
    inTurn: InTurn;
    gateway: () => GatewayVersion;
    clock: Clock;
  }) {
    this.#ask = ask;
    this.#inTurn = inTurn;
    this.#gateway = gateway;
    this.#clock = clock;
  }

  /**
   * Resolves when the agent's heartbeat is in the gateway's configuration. Rejects with GatewayError; a newer want for
   * the same agent takes the place of an older one.
   */
  want(id: string, heartbeat: Record<string, unknown>, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const drop = (error: unknown) => {
        if (this.#wants.get(id) === want) this.#wants.delete(id);
        reject(error);
      };
      const calledOff = () => drop(new GatewayError("The work was called off", { transient: true }));
      const settle = (then: () => void) => () => {
        signal.removeEventListener("abort", calledOff);
        then();
      };
      const want: Want = {
        heartbeat,
        signal,
        resolve: settle(resolve),
        reject: (error) => settle(() => reject(error))(),
      };
      if (signal.aborted) return calledOff();
      signal.addEventListener("abort", calledOff, { once: true });
      this.#wants.get(id)?.reject(superseded());
      this.#wants.set(id, want);
      this.#gather();
    });
  }

  #gather(): void {
    if (this.#isWriting) return;
    const now = Date.now();
    if (this.#timer === undefined) this.#gatheringSince = now;
    clearTimeout(this.#timer);
    const left = this.#gatheringSince + GATHER_MS.most - now;
    this.#timer = setTimeout(() => void this.#flush(), Math.max(0, Math.min(GATHER_MS.quiet, left)));
  }

  async #flush(): Promise<void> {
    this.#timer = undefined;
    this.#isWriting = true;
    const wants = this.#wants;
    this.#wants = new Map();
    try {
      await this.#write(wants);
    } catch (error) {
      for (const { reject } of wants.values()) reject(error);
    } finally {
      this.#isWriting = false;
      if (this.#wants.size > 0) this.#gather();
    }
  }

  async #write(wants: Map<string, Want>): Promise<void> {
    let rounds = 0;
    do {
      const wait = await this.#inTurn(() => this.#round(wants));
      if (wait > 0) await new Promise<void>((resolve) => this.#clock.after(wait, resolve));
      else rounds += 1;
    } while (wants.size > 0 && rounds < MOST_ROUNDS);
    for (const [id, { reject }] of wants)
      reject(
        new GatewayError(`The gateway does not keep the heartbeat of ${id} as it was written`, {
          transient: true,
        }),
      );
  }

  /**
   * Reads the configuration and writes what is to be other in it: between the two nothing else of ours is written. Returns
   * for how many milliseconds the gateway allows no patch; then what was read is old, as somebody else writes to it too.
   */
  async #round(wants: Map<string, Want>): Promise<number> {
    this.#join(wants);
    if (wants.size === 0) return 0;
    const config = await readGatewayConfig(this.#ask, this.#gateway());
    const wanted = this.#compare(config, wants);
    if (wanted.size === 0) return 0;
    const wait = this.#untilNextPatch(config);
    if (wait <= 0) await this.#patch(config, wanted);
    return Math.max(0, wait);
  }

  /** What was wanted in the meantime goes in the same patch; what newer work wants otherwise, or nobody any more, does not. */
  #join(wants: Map<string, Want>): void {
    for (const [id, want] of this.#wants) {
      wants.get(id)?.reject(superseded());
      wants.set(id, want);
    }
    this.#wants.clear();
    for (const [id, { signal, reject }] of wants) {
      if (!signal.aborted) continue;
      reject(superseded());
      wants.delete(id);
    }
  }

  /** Settles what is as it is wanted, and what cannot be. Returns what is to be written, by agent. */
  #compare(config: GatewayConfig, wants: Map<string, Want>): Map<string, Record<string, unknown>> {
    const wanted = new Map<string, Record<string, unknown>>();
    for (const [id, { heartbeat, resolve, reject }] of wants)
      if (!differs(heartbeatIn(config, id), heartbeat)) {
        resolve();
        wants.delete(id);
        // The gateway's own agent may have no entry until it is given one.
      } else if (config.entries.has(id) || id === OWN_AGENT) wanted.set(id, heartbeat);
      else {
        reject(new GatewayError(`The gateway has no agent ${id}`, { transient: true }));
        wants.delete(id);
      }
    return wanted;
  }

  async #patch(config: GatewayConfig, wanted: Map<string, Record<string, unknown>>): Promise<void> {
    const { protocol } = this.#gateway();
    const patch = heartbeatPatch(config, protocol, wanted);
    if (protocol >= 4) this.#sent.push(this.#clock.now());
    try {
      await this.#ask(
        "config.patch",
        { raw: JSON.stringify(patch), ...(config.hash === null ? {} : { baseHash: config.hash }) },
        z.unknown(),
      );
    } catch (error) {
      // Whether it was written before the link went away shows in the configuration.
      if (error instanceof LinkLost) return;
      if (!(error instanceof GatewayRefusal)) throw error;
      if (/rate limit/i.test(error.said))
        this.#notBefore = this.#clock.now() + (error.retryAfterMs || LIMIT_WINDOW_MS);
      else if (!/config changed since|base hash required/i.test(error.said)) throw error;
    }
  }

  /** Milliseconds until the gateway allows another patch. */
  #untilNextPatch({ kind }: GatewayConfig): number {
    const now = this.#clock.now();
    this.#sent = this.#sent.filter((at) => now - at < LIMIT_WINDOW_MS);
    const isFull = this.#sent.length >= LIMITS[kind];
    const free = isFull ? (this.#sent[0] ?? now) + LIMIT_WINDOW_MS : now;
    return Math.max(free, this.#notBefore) - now;
  }
}

const superseded = () => new GatewayError("Newer work has begun", { transient: true });
