import { retryDelay } from "../../machines/backoff.ts";
import type { AgentEvent, Step } from "../../machines/model.ts";
import type { Seal } from "../auth/seal.ts";
import { agentTokenPlace } from "../auth/sealed-places.ts";
import type { Clock } from "../clock.ts";
import { agentBrief, gatewayBrief } from "../gateways/briefs.ts";
import { type Driver, GatewayError, type Work } from "../gateways/driver.ts";
import { Limiter } from "../limiter.ts";
import type { Log } from "../log.ts";
import type { GatewayKind } from "../protocol/gateways.ts";
import { type AssignmentRow, readAssignment } from "../store/assignments.ts";
import { type Database, isUnavailable } from "../store/database.ts";
import type { Actors } from "./actors.ts";
import type { Registry } from "./registry.ts";

/** Steps at one gateway at a time, unless its driver says otherwise: many agents that wait for one gateway do not stampede it. */
const AT_ONCE = 8;
/** How long a gateway may take for one step in milliseconds, unless its driver says otherwise. */
const STEP_TIMEOUT_MS = 60_000;

/** Sentences about one step that are kept. */
const MOST_REMARKS = 20;

export type Drivers = Partial<Record<GatewayKind, Driver>>;

/** How soon something is done again that Postgres did not let happen, in milliseconds. */
const AGAIN_MS = 5_000;

/** Tries of a step at a gateway that the agent has left: nothing keeps that step for later. */
const MOST_LEAVING_TRIES = 5;

/** A step that was carried out, or was tried. */
interface Deed {
  assignment: AssignmentRow;
  failure: ReturnType<typeof asFailure> | null;
  /** What the driver said of what the gateway did. */
  remarks: readonly string[];
}

interface Running {
  abort: AbortController;
  done: Promise<void>;
  /** Whether it is at work where the agent is now: not at a place that the agent leaves, and not waiting for that. */
  isAtWork: boolean;
}

/** Carries out the machine's steps at the gateways, and tells the machine how they went. */
export class Lifecycle {
  readonly #registry: Registry;
  readonly #actors: Actors;
  readonly #database: Database;
  readonly #drivers: Drivers;
  readonly #seal: Seal;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #limiter = new Limiter();
  /** One at a time per agent, by the agent's id. */
  readonly #running = new Map<string, Running>();
  /** Tokens that an update brought to a workspace, until the connected agent is told. */
  readonly #tokens = new Map<string, string>();
  readonly #leaving = new AbortController();
  #stopped = false;

  constructor(parts: {
    registry: Registry;
    actors: Actors;
    database: Database;
    drivers: Drivers;
    seal: Seal;
    clock: Clock;
    log: Log;
  }) {
    this.#registry = parts.registry;
    this.#actors = parts.actors;
    this.#database = parts.database;
    this.#drivers = parts.drivers;
    this.#seal = parts.seal;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  /** Begins the step that the agent's committed state names. What ran for the agent before is called off first. */
  begin(index: number): void {
    const id = this.#registry.idOf(index);
    if (id === undefined || this.#stopped) return;
    const { context } = this.#registry.stateOf(index);
    if (context.step === null) return;
    const { step, generation } = context;
    const isForcedDelete = context.action === "delete" && context.force;
    const before = this.#running.get(id);
    before?.abort.abort();
    const abort = new AbortController();
    const running: Running = { abort, done: Promise.resolve(), isAtWork: false };
    const performed = (async () => {
      // A delete that is forced does not wait for a gateway that is of no help in leaving it.
      if (!isForcedDelete || before?.isAtWork) await before?.done;
      if (abort.signal.aborted) return null;
      running.isAtWork = true;
      return this.#perform(id, step, abort.signal);
    })();
    const done = performed.then(
      () => {},
      (error) => this.#log.error({ err: error, agent: id, step }, "a step at a gateway was lost"),
    );
    running.done = done;
    this.#running.set(id, running);
    void done.finally(() => {
      if (this.#running.get(id)?.abort === abort) this.#running.delete(id);
    });
    // Apart from `done`: while Postgres is away the answer waits, and the server must be able to stop.
    performed
      .catch(() => null)
      .then((deed) => {
        if (deed && !abort.signal.aborted) this.#report(index, id, { step, generation }, deed);
      })
      .catch((error) => this.#log.error({ err: error, agent: id, step }, "a step's answer was lost"));
  }

  /** After a start: goes on with what was under way. */
  resume(): void {
    for (let index = 0; index < this.#registry.extent; index++)
      if (this.#registry.idOf(index) !== undefined && this.#registry.workOf(index) === "running")
        this.begin(index);
  }

  /**
   * The agent has left a gateway for another: take it out there, as well as can be, before anything begins at the new
   * one.
   */
  leave(assignment: AssignmentRow): void {
    const driver = this.#drivers[assignment.gateway.kind];
    if (!driver) return;
    const { id } = assignment.agent;
    const abort = new AbortController();
    // What begins next at the new gateway must not call this off; the end of the server does.
    const work = this.#workOf(assignment, this.#leaving.signal, (remark) =>
      this.#log.info({ agent: id, gateway: assignment.gateway.id }, remark),
    );
    const before = this.#running.get(id);
    before?.abort.abort();
    const done = (async () => {
      await before?.done;
      for (const step of ["unroster", "unsession", "cleanUp"] as const)
        await this.#insist(() => this.#inTime(driver[step](work), driver.stepTimeoutMs));
    })()
      .catch((error) =>
        this.#log.warn({ err: error, agent: id }, "the agent is left behind at its old gateway"),
      )
      .finally(() => {
        if (this.#running.get(id)?.abort === abort) this.#running.delete(id);
      });
    this.#running.set(id, { abort, done, isAtWork: false });
  }

  /** The fresh token that the agent's update brought to its workspace; handed out once. */
  takeToken(agentId: string): string | undefined {
    const token = this.#tokens.get(agentId);
    this.#tokens.delete(agentId);
    return token;
  }

  /** The agent is gone: have its gateway remove what is left, as well as can be. */
  #cleanUp(assignment: AssignmentRow): void {
    const agent = assignment.agent.id;
    this.#drivers[assignment.gateway.kind]
      ?.cleanUp(this.#workOf(assignment, this.#leaving.signal, () => {}))
      .catch((error) => this.#log.warn({ err: error, agent }, "the workspace is left behind"));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#leaving.abort();
    for (const { abort } of this.#running.values()) abort.abort();
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  /** Tells the machine how a step went. Should Postgres refuse the answer, the step is begun again: it can be repeated. */
  #report(
    index: number,
    id: string,
    of: { step: Step; generation: number },
    { failure, assignment, remarks }: Deed,
  ): void {
    if (this.#registry.idOf(index) !== id) return;
    const about = { ...of, at: this.#clock.now() };
    const event: AgentEvent = failure
      ? { type: "step.failed", ...about, ...failure, jitter: Math.random() }
      : { type: "step.done", ...about, remarks };
    this.#actors
      .send(index, event, { lasting: true })
      .then(() => {
        if (this.#registry.idOf(index) !== id) this.#cleanUp(assignment);
      })
      .catch((error) => {
        this.#log.error(
          { err: error, agent: id, ...of },
          "a step's answer was refused; the step is begun again",
        );
        this.#clock.after(AGAIN_MS, () => {
          const { context } = this.#registry.stateOf(index);
          const isCurrent = context.step === of.step && context.generation === of.generation;
          if (this.#registry.idOf(index) === id && isCurrent) this.begin(index);
        });
      });
  }

  /** Carries out one step; null when there is no agent any more. */
  async #perform(id: string, step: Step, signal: AbortSignal): Promise<Deed | null> {
    const assignment = await this.#read(id, signal);
    if (!assignment) return null;
    const remarks: string[] = [];
    try {
      await this.#drive(assignment, step, signal, remarks);
      return { assignment, failure: null, remarks };
    } catch (error) {
      if (!signal.aborted) this.#log.warn({ err: error, agent: id, step }, "a step at a gateway failed");
      return { assignment, failure: asFailure(error), remarks };
    }
  }

  /** What the step is to work with. While Postgres is away it is asked for again. */
  async #read(id: string, signal: AbortSignal): Promise<AssignmentRow | undefined> {
    while (!signal.aborted) {
      try {
        return await readAssignment(this.#database, id);
      } catch (error) {
        if (!isUnavailable(error)) throw error;
        await this.#pause(AGAIN_MS, signal);
      }
    }
    return undefined;
  }

  /** Tries a step again that fails for now, as when the gateway restarts in its middle. Throws what the last try threw. */
  async #insist(step: () => Promise<void>): Promise<void> {
    const { signal } = this.#leaving;
    for (let tries = 1; ; tries++)
      try {
        return await step();
      } catch (error) {
        const { transient, retryAfterMs } = asFailure(error);
        if (!transient || tries === MOST_LEAVING_TRIES || signal.aborted) throw error;
        await this.#pause(retryDelay(tries, Math.random(), retryAfterMs), signal);
      }
  }

  /** Resolves after a time, or as soon as the signal says so. */
  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        cancel();
        signal.removeEventListener("abort", end);
        resolve();
      };
      const cancel = this.#clock.after(ms, end);
      signal.addEventListener("abort", end);
    });
  }

  async #drive(assignment: AssignmentRow, step: Step, signal: AbortSignal, remarks: string[]): Promise<void> {
    const { kind, id: gatewayId } = assignment.gateway;
    const driver = this.#drivers[kind];
    if (!driver)
      throw new GatewayError(`This server does not serve gateways of kind ${kind}.`, { transient: false });
    await this.#limiter.run(gatewayId, driver.atOnce ?? AT_ONCE, async () => {
      if (signal.aborted) return;
      const work = this.#workOf(assignment, signal, (remark) => {
        if (remarks.length < MOST_REMARKS) remarks.push(remark.replaceAll("\u0000", "").slice(0, 2_000));
      });
      await this.#inTime(driver[step](work), driver.stepTimeoutMs);
      if (step === "wake" && work.action === "update" && work.token)
        this.#tokens.set(work.agent.id, work.token);
    });
  }

  /** A driver that is called off ends by its signal; one that answers too late is not waited for. */
  async #inTime(work: Promise<void>, timeoutMs = STEP_TIMEOUT_MS): Promise<void> {
    let cancel = () => {};
    // Should it fail after its time, nobody asks any more.
    work.catch(() => {});
    const late = new Promise<never>((_, reject) => {
      cancel = this.#clock.after(timeoutMs, () =>
        reject(
          new GatewayError(`The gateway did not answer within ${timeoutMs / 1_000} s.`, {
            transient: true,
          }),
        ),
      );
    });
    try {
      await Promise.race([work, late]);
    } finally {
      cancel();
    }
  }

  #workOf(assignment: AssignmentRow, signal: AbortSignal, remark: Work["remark"]): Work {
    const { agent } = assignment;
    const place = agentTokenPlace({ id: agent.id, organizationId: agent.organization_id });
    return {
      ...briefOf(assignment, this.#seal),
      action: agent.provision_action ?? "delete",
      force: agent.provision_force,
      wakes: agent.provision_wakes,
      token: agent.token_sealed ? (this.#seal.open(agent.token_sealed, place) ?? null) : null,
      signal,
      remark,
    };
  }
}

/** What drivers are told of an agent and its gateway. */
export function briefOf(
  { agent, gateway, board }: AssignmentRow,
  seal: Seal,
): Pick<Work, "agent" | "gateway"> {
  return { agent: agentBrief(agent, board), gateway: gatewayBrief(gateway, seal) };
}

/** What the machine is told of a failure. What Postgres or our own code did wrong is worth another try. */
function asFailure(error: unknown): { error: string; transient: boolean; retryAfterMs: number } {
  if (error instanceof GatewayError)
    return {
      error: error.message.replaceAll("\u0000", "").slice(0, 2_000),
      transient: error.transient,
      retryAfterMs: error.retryAfterMs,
    };
  if (isUnavailable(error)) return { error: "The database is away.", transient: true, retryAfterMs: 0 };
  const message = error instanceof Error ? error.message : String(error);
  return { error: message.replaceAll("\u0000", "").slice(0, 2_000), transient: true, retryAfterMs: 0 };
}
