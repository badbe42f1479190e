import { type Driver, GatewayError, type Work } from "../../src/gateways/driver.ts";
import { until } from "./await.ts";
import type { Message, Wire } from "./wire.ts";

export type FakeStep = "session" | "roster" | "files" | "wake" | "unroster" | "unsession" | "cleanUp";

/** What a test has seen of one step. */
export interface Call {
  step: FakeStep;
  agentId: string;
  action: Work["action"];
  generation: number;
  force: boolean;
  wakes: number;
  token: string | null;
  work: Work;
}

/** A step that stands still until the test lets it go, or it is called off. */
interface Held {
  /** Resolves when a call has come to it. */
  reached(): Promise<void>;
  release(): void;
  fail(message: string, transient?: boolean): void;
}

type Outcome = (work: Work) => Promise<void>;

/** A gateway without a life of its own: every step succeeds at once unless the test has said otherwise. */
export class FakeDriver implements Driver {
  readonly calls: Call[] = [];
  /** Agents that it was asked to bring back after a start. */
  readonly resumed: string[] = [];
  /** By agent: the token that its workspace holds. */
  readonly tokens = new Map<string, string>();
  readonly #plans = new Map<FakeStep, Outcome[]>();

  /** The next call of the step fails; without `transient`, for good. */
  fail(step: FakeStep, message: string, { transient = false, times = 1, retryAfterMs = 0 } = {}): void {
    for (let count = 0; count < times; count++)
      this.#plan(step, () => Promise.reject(new GatewayError(message, { transient, retryAfterMs })));
  }

  /** The next call of the step waits for the test. */
  hold(step: FakeStep): Held {
    let reached = false;
    let release = () => {};
    let fail = (_error: Error) => {};
    const held = new Promise<void>((resolve, reject) => {
      release = resolve;
      fail = reject;
    });
    this.#plan(step, ({ signal }) => {
      reached = true;
      signal.addEventListener("abort", () => fail(new GatewayError("called off", { transient: true })));
      return held;
    });
    return {
      reached: async () => {
        await until(() => reached, { what: `the gateway to be asked for ${step}` });
      },
      release: () => release(),
      fail: (message, transient = false) => fail(new GatewayError(message, { transient })),
    };
  }

  /** What was done for an agent, in order. */
  stepsOf(agentId: string, from = 0): FakeStep[] {
    return this.calls.slice(from).flatMap((call) => (call.agentId === agentId ? [call.step] : []));
  }

  /** The agent's latest call of the step, as soon as there are so many. */
  async called(step: FakeStep, agentId: string, times = 1): Promise<Call> {
    return until(
      () => this.calls.filter((call) => call.step === step && call.agentId === agentId)[times - 1],
      { what: `${step} number ${times} at the gateway` },
    );
  }

  session = (work: Work) => this.#take("session", work);
  roster = (work: Work) => this.#take("roster", work);
  wake = (work: Work) => this.#take("wake", work);
  unroster = (work: Work) => this.#take("unroster", work);
  unsession = (work: Work) => this.#take("unsession", work);
  cleanUp = (work: Work) => this.#take("cleanUp", work);
  files = async (work: Work) => {
    await this.#take("files", work);
    if (work.token !== null) this.tokens.set(work.agent.id, work.token);
  };

  async resume(agents: { agent: { id: string } }[]): Promise<void> {
    this.resumed.push(...agents.map(({ agent }) => agent.id));
  }

  async stop(): Promise<void> {}

  #plan(step: FakeStep, outcome: Outcome): void {
    this.#plans.set(step, [...(this.#plans.get(step) ?? []), outcome]);
  }

  async #take(step: FakeStep, work: Work): Promise<void> {
    const { agent, action, force, wakes, token } = work;
    this.calls.push({
      step,
      agentId: agent.id,
      action,
      generation: agent.generation,
      force,
      wakes,
      token,
      work,
    });
    await this.#plans.get(step)?.shift()?.(work);
  }
}

let boards = 0;

/** A gateway that a FakeDriver serves as kind openclaw, and a board on it. */
export async function managedBoard(
  wire: Wire,
  gatewayFields: object = {},
): Promise<{ gateway: Message; board: Message }> {
  boards += 1;
  const { gateway } = await wire.call("gateway.create", {
    name: `Managed ${boards}`,
    kind: "openclaw",
    url: "ws://127.0.0.1:18789",
    main_session_key: `agent:main-${boards}:main`,
    workspace_root: "/srv/agents",
    ...gatewayFields,
  });
  const { board } = await wire.call("board.create", {
    name: `Managed board ${boards}`,
    gateway_id: gateway.id,
  });
  return { gateway, board };
}
