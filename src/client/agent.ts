import type { Cancel, Clock } from "../clock.ts";
import type { Agent as AgentRecord } from "../protocol/agents.ts";
import { MusterError } from "../protocol/errors.ts";
import type { Params } from "../protocol/messages.ts";
import { Acks } from "./acks.ts";
import { clientClock } from "./clock.ts";
import { type CommandHandler, Commands } from "./commands.ts";
import type { ConnectOptions, Hello } from "./connect-options.ts";
import { Connection } from "./connection.ts";
import { assertShape, hasFields } from "./guards.ts";
import { type AgentReport, withReport } from "./report.ts";
import { NOTIFICATIONS, SERVER_REQUESTS } from "./server-messages.ts";

/** How an agent stands with the server. */
export type AgentState =
  | { state: "connected"; agent: AgentRecord; everyMs: number }
  /** The first heartbeat of this connection is committed. */
  | { state: "online" }
  | { state: "disconnected"; why: MusterError; retryInMs: number }
  | { state: "configured"; hash: string }
  | AgentEnd;

/**
 * The end of an agent's session, for good: `stopped` by the program; `superseded` by a newer connection of the same
 * agent; `deleted`; `revoked`, its token; or `refused` by the server, with why.
 */
export type AgentEnd =
  | { state: "stopped" | "superseded" | "deleted" | "revoked" }
  | { state: "refused"; why: MusterError };

export interface AgentOptions extends ConnectOptions {
  /** The agent's own. */
  token: string;
  /** Applies a new configuration; the agent answers for it, a rejection is told to the server as its error. */
  onConfig?: ((config: { agent: AgentRecord; hash: string }) => void | Promise<void>) | undefined;
  /** Keeps a rotated token for the next start. It is used only after this has succeeded. */
  onToken?: ((token: string) => void | Promise<void>) | undefined;
  /** Told of every change. */
  onState?: ((state: AgentState) => void) | undefined;
}

/** Reasons for a detachment after which the agent is not wanted again. */
const LAST_WORDS = ["superseded", "deleted", "revoked"] as const;
/** Between two beats, at least, however often the report changes, in milliseconds. */
const LEAST_BETWEEN_MS = 1_000;
/** Within which the first beat after a lost connection comes, and half an interval at most, in milliseconds. */
const RETURN_WITHIN_MS = 5_000;
const SIGN_OFF_TIMEOUT_MS = 2_000;

/** Connects an agent; resolves when it is attached. Rejects with MusterError when the server refuses it. */
export async function connectAgent(options: AgentOptions): Promise<Agent> {
  const agent = new Agent(options);
  await agent.attached;
  return agent;
}

/**
 * An agent's side of the protocol: it attaches by its token, beats at the pace that the server asks for, takes
 * configurations, and signs off. It connects, and connects again, until `stop` or the server's last word.
 */
export class Agent {
  /** Settles once: attached for the first time, or rejected with why it never was. */
  readonly attached: Promise<void>;
  /** Resolves when the agent has come to its end, whoever ended it. */
  readonly ended: Promise<AgentEnd>;
  readonly #options: AgentOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #connection: Connection;
  readonly #acks = new Acks();
  readonly #commands = new Commands();
  #token: string;
  #sessionToken: string | undefined;
  #report: AgentReport = {};
  #everyMs = 0;
  #lastBeatAt = 0;
  #lastN = 0;
  /** No beat of this connection has been sent: who else has come with it beats in step with this agent. */
  #isInStep = false;
  #online = false;
  #stopping = false;
  #cancelBeat: Cancel = () => {};
  #end: AgentEnd | undefined;
  /** One turn of the loop after the first attachment. */
  #settled: Promise<void> | undefined;
  #settle: { attached(): void; ended(end: AgentEnd): void } = { attached() {}, ended() {} };

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#token = options.token;
    this.#clock = options.clock ?? clientClock;
    this.#random = options.random ?? Math.random;
    this.ended = new Promise((resolve) => {
      this.#settle.ended = resolve;
    });
    const attached = new Promise<void>((resolve) => {
      this.#settle.attached = resolve;
    });
    this.attached = Promise.race([
      attached,
      this.ended.then((end) => {
        throw endError(end);
      }),
    ]);
    // A program that only waits for `ended` must not die of this one.
    this.attached.catch(() => {});
    this.#connection = new Connection(options, {
      token: () => this.#token,
      open: (hello) => this.#opened(hello),
      lost: (why, retryInMs) => {
        this.#disconnected();
        this.#tell({ state: "disconnected", why, retryInMs });
      },
      ended: (why) => {
        this.#disconnected();
        this.#finish(why === undefined ? { state: "stopped" } : { state: "refused", why });
      },
      notification: (method, params) => this.#notified(method, params),
      request: (method, params) => this.#serve(method, params),
    });
    this.#connection.start();
  }

  /** Sets what the heartbeats say from now on, and says it soon. Throws MusterError `invalid_params`. */
  report(report: AgentReport): void {
    this.#report = withReport(this.#report, report);
    if (!this.#connection.isOpen) return;
    this.#beatIn(Math.max(0, this.#lastBeatAt + LEAST_BETWEEN_MS - this.#clock.now()));
  }

  /** Beats now. Returns the beat's number for `acked`; undefined when there is no connection to beat on. */
  beat(): number | undefined {
    this.#cancelBeat();
    const n = this.#lastN + 1;
    const sent = this.#connection.notify("heartbeat", { n, ...this.#report });
    if (sent) {
      this.#lastN = n;
      this.#lastBeatAt = this.#clock.now();
    }
    // Unsent because the server does not read: the next beat tries again.
    if (this.#connection.isOpen) this.#beatIn(this.#isInStep ? this.#partOf(this.#everyMs) : this.#everyMs);
    this.#isInStep = false;
    return sent ? n : undefined;
  }

  /** Resolves when the server has committed this beat; rejects with MusterError when the connection is lost before. */
  acked(n: number): Promise<void> {
    return this.#acks.wait(n);
  }

  /** Handles the server's commands of that name; one that is delivered again is answered again, and not done again. */
  onCommand(name: string, handler: CommandHandler): void {
    this.#commands.on(name, handler);
  }

  /** Signs off, so that the agent is offline at once, and ends. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#cancelBeat();
    if (this.#connection.isOpen)
      // As a request, whose answer says that it is committed. Without one the deadline does the same later.
      await this.#connection
        .request("heartbeat", { status: "offline" }, SIGN_OFF_TIMEOUT_MS)
        .catch(() => undefined);
    await this.#connection.close();
  }

  #opened(hello: Hello): void {
    const { agent, heartbeat } = hello;
    if (agent === undefined || heartbeat === undefined) {
      this.#finish({ state: "refused", why: new MusterError("forbidden", "the token is not an agent's") });
      return;
    }
    this.#sessionToken = this.#token;
    this.#everyMs = Math.max(LEAST_BETWEEN_MS, heartbeat.every_ms);
    this.#isInStep = true;
    this.#settle.attached();
    this.#settled ??= new Promise((resolve) => setTimeout(resolve, 0));
    this.#tell({ state: "connected", agent, everyMs: this.#everyMs });
    // A server that was away gets all its agents back at once; one that has just started is waited for.
    if (this.#lastN === 0) this.beat();
    else this.#beatIn(this.#random() * Math.min(RETURN_WITHIN_MS, this.#everyMs / 2));
  }

  #disconnected(): void {
    this.#cancelBeat();
    this.#online = false;
    this.#acks.lost(
      new MusterError("unavailable", "the connection was lost before the beat was acknowledged"),
      this.#lastN,
    );
  }

  #notified(method: string, params: Params): void {
    if (method === "ack") {
      if (hasFields(params, NOTIFICATIONS.ack)) this.#acknowledged(params.n);
    } else if (method === "heartbeat_interval") {
      if (hasFields(params, NOTIFICATIONS.heartbeat_interval)) this.#setPace(params.every_ms);
    } else if (method === "detached") {
      if (hasFields(params, NOTIFICATIONS.detached)) this.#detached(params.reason);
    }
  }

  #acknowledged(n: number): void {
    // A beat that was never sent cannot have been committed.
    if (n > this.#lastN) return;
    this.#acks.acked(n);
    if (this.#online) return;
    this.#online = true;
    this.#tell({ state: "online" });
  }

  #setPace(everyMs: number): void {
    this.#everyMs = Math.max(LEAST_BETWEEN_MS, everyMs);
    if (!this.#isInStep) this.#beatIn(Math.max(0, this.#lastBeatAt + this.#everyMs - this.#clock.now()));
  }

  /** A random part of an interval: from there on agents that came together are out of step. */
  #partOf(ms: number): number {
    return Math.max(LEAST_BETWEEN_MS, ms * this.#random());
  }

  #detached(reason: string): void {
    const state = LAST_WORDS.find((word) => word === reason);
    // The token of this session is gone, but its successor is here already.
    const hasNewToken = reason === "revoked" && this.#token !== this.#sessionToken;
    // What another reason means for the agent, the server says when it comes back.
    if (state === undefined || hasNewToken) this.#connection.reconnect();
    else this.#finish({ state });
  }

  #beatIn(ms: number): void {
    this.#cancelBeat();
    // After the sign-off a beat would bring the agent online again.
    if (!this.#stopping) this.#cancelBeat = this.#clock.after(ms, () => this.beat());
  }

  async #serve(method: string, params: Params): Promise<unknown> {
    if (method === "command") {
      // The program that has just awaited its attachment gets to name its handlers first.
      await this.#settled;
      return this.#commands.serve(params);
    }
    if (method !== "config") throw new MusterError("method_not_found", `this agent does not know ${method}`);
    assertShape("invalid_params", "this is no configuration of an agent", params, SERVER_REQUESTS.config);
    const { agent, hash, token } = params;
    if (token !== undefined) {
      await this.#options.onToken?.(token);
      this.#token = token;
    }
    await this.#options.onConfig?.({ agent, hash });
    this.#tell({ state: "configured", hash });
    return { applied: hash };
  }

  /** The first end counts: to close the connection is a part of every other. */
  #finish(end: AgentEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    void this.#connection.close();
    this.#settle.ended(end);
    this.#tell(end);
  }

  #tell(state: AgentState): void {
    this.#options.onState?.(state);
  }
}

function endError(end: AgentEnd): MusterError {
  return end.state === "refused"
    ? end.why
    : new MusterError("unavailable", `the agent was not attached: ${end.state}`);
}
