import { z } from "zod";
import type { Clock } from "../../clock.ts";
import { GatewayError } from "../driver.ts";
import type { Ask } from "./ask.ts";
import { differs, type GatewayConfig, heartbeatIn, heartbeatPatch, readGatewayConfig } from "./config.ts";
import { GatewayRefusal } from "./failures.ts";

/** A patch waits until nothing more was wanted for so long, but no longer than `most`, in milliseconds. */
const GATHER_MS = { quiet: 300, most: 2_000 } as const;
/** Patches written for one gathering: another hand may have changed the configuration, or a restart swallowed one. */
const MOST_ROUNDS = 6;
/** Patches a minute that gateways allow, by how they keep their agents; those of protocol 3 have no limit. */
const LIMITS = { entries: 28, list: 3 } as const;
const LIMIT_WINDOW_MS = 61_000;

interface Want {
  heartbeat: Record<string, unknown>;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Writes agents' heartbeats into one gateway's configuration: only what differs, many in one patch, one patch at a time,
 * and not more often than the gateway allows. A patch can restart a gateway.
 */
export class ConfigWriter {
  readonly #ask: Ask;
  readonly #protocol: () => number;
  readonly #clock: Clock;
  #wants = new Map<string, Want>();
  #timer: NodeJS.Timeout | undefined;
  #gatheringSince = 0;
  #isWriting = false;
  /** When the latest patches were sent, milliseconds since the epoch. */
  #sent: number[] = [];
  #notBefore = 0;

  constructor({ ask, protocol, clock }: { ask: Ask; protocol: () => number; clock: Clock }) {
    this.#ask = ask;
    this.#protocol = protocol;
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
        resolve: settle(resolve),
        reject: (error) => settle(() => reject(error))(),
      };
      if (signal.aborted) return calledOff();
      signal.addEventListener("abort", calledOff, { once: true });
      this.#wants.get(id)?.reject(new GatewayError("Newer work has begun", { transient: true }));
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
    for (let round = 0; round < MOST_ROUNDS && wants.size > 0; round++) {
      const config = await readGatewayConfig(this.#ask, this.#protocol());
      const missing: string[] = [];
      const wanted = new Map<string, Record<string, unknown>>();
      for (const [id, { heartbeat, resolve }] of wants)
        if (!differs(heartbeatIn(config, id), heartbeat)) {
          resolve();
          wants.delete(id);
        } else if (config.entries.has(id)) wanted.set(id, heartbeat);
        else missing.push(id);
      for (const id of missing) {
        // The gateway's own agent has no entry until it is given one.
        if (id === "main") wanted.set(id, wants.get(id)?.heartbeat ?? {});
        else {
          wants.get(id)?.reject(new GatewayError(`The gateway has no agent ${id}`, { transient: true }));
          wants.delete(id);
        }
      }
      if (wanted.size > 0) await this.#patch(config, wanted);
    }
    for (const [id, { reject }] of wants)
      reject(
        new GatewayError(`The gateway does not keep the heartbeat of ${id} as it was written`, {
          transient: true,
        }),
      );
  }

  async #patch(config: GatewayConfig, wanted: Map<string, Record<string, unknown>>): Promise<void> {
    await this.#slot(config);
    const patch = heartbeatPatch(config, this.#protocol(), wanted);
    try {
      await this.#ask(
        "config.patch",
        { raw: JSON.stringify(patch), ...(config.hash === null ? {} : { baseHash: config.hash }) },
        z.unknown(),
      );
    } catch (error) {
      if (!(error instanceof GatewayRefusal)) throw error;
      if (/rate limit/i.test(error.said))
        this.#notBefore = this.#clock.now() + (error.retryAfterMs || LIMIT_WINDOW_MS);
      else if (!/config changed since|base hash required/i.test(error.said)) throw error;
    }
  }

  /** Waits until the gateway allows another patch. */
  async #slot({ kind }: GatewayConfig): Promise<void> {
    const most = this.#protocol() < 4 ? Number.POSITIVE_INFINITY : LIMITS[kind];
    for (;;) {
      const now = this.#clock.now();
      this.#sent = this.#sent.filter((at) => now - at < LIMIT_WINDOW_MS);
      const oldest = this.#sent.length >= most ? (this.#sent[0] ?? now) + LIMIT_WINDOW_MS : 0;
      const wait = Math.max(oldest, this.#notBefore) - now;
      if (wait <= 0) break;
      await new Promise<void>((resolve) => this.#clock.after(wait, resolve));
    }
    if (Number.isFinite(most)) this.#sent.push(this.#clock.now());
  }
}
