import { type AgentState, newborn, react } from "../../machines/agent.ts";
import type { AgentContext, AgentEvent, Effect, Step } from "../../machines/model.ts";

/** When lives begin. */
export const BIRTH = 1_000_000_000;
export const OFFLINE_AFTER_MS = 600_000;
export const CHECKIN_MS = 30_000;

type Without<E, K extends string> = E extends unknown ? Omit<E, K> : never;
type Untimed = Without<AgentEvent, "at">;

/** One agent's life in the machine, with hands on its clock. */
export class Life {
  state: AgentState;
  now = BIRTH;
  /** The effects of the last event. */
  effects: Effect[] = [];

  constructor(context: Partial<AgentContext> = {}) {
    const born = newborn({
      name: "Scout",
      managed: true,
      listeningSince: BIRTH,
      offlineAfterMs: OFFLINE_AFTER_MS,
      checkinDeadlineMs: CHECKIN_MS,
    });
    this.state = { ...born, context: { ...born.context, ...context } };
  }

  get context(): AgentContext {
    return this.state.context;
  }

  get status() {
    return this.state.status;
  }

  get work() {
    return this.state.work;
  }

  /** What the last event left in the log. */
  get recorded(): string[] {
    return this.effects.flatMap((effect) => (effect.type === "record" ? [effect.params.type] : []));
  }

  /** The other effects of the last event. */
  get asked(): string[] {
    return this.effects.flatMap(({ type }) => (type === "record" ? [] : [type]));
  }

  is(event: Untimed): this {
    const { state, effects } = react(this.state, { ...event, at: this.now } satisfies AgentEvent);
    this.state = state;
    this.effects = effects;
    return this;
  }

  after(ms: number): this {
    this.now += ms;
    return this;
  }

  beat(): this {
    return this.is({ type: "beat", quiet: false });
  }

  /** The gateway has done the step under way. */
  done(): this {
    return this.is({ type: "step.done", ...this.#asked() });
  }

  failed(transient = false, { jitter = 1, retryAfterMs = 0, error = "no room" } = {}): this {
    return this.is({ type: "step.failed", ...this.#asked(), error, transient, retryAfterMs, jitter });
  }

  /** All steps of the work under way succeed. */
  finish(): this {
    for (let guard = 0; guard < 10 && this.work === "running"; guard++) this.done();
    return this;
  }

  /** Created, provisioned, and online. */
  static online(context: Partial<AgentContext> = {}): Life {
    const life = new Life(context).is({ type: "provision" });
    if (life.context.managed) life.finish();
    return life.beat();
  }

  #asked(): { generation: number; step: Step } {
    const { generation, step } = this.context;
    if (step === null) throw new Error("nothing is asked of the gateway");
    return { generation, step };
  }
}
