import type { ActivityEvent } from "../protocol/activity.ts";
import type { AgentCommand } from "../protocol/agent-commands.ts";
import type { Agent } from "../protocol/agents.ts";
import { MusterError } from "../protocol/errors.ts";
import type { ChatEntry, GatewayLink } from "../protocol/gateway-links.ts";
import type { Method, ParamsIn, Result } from "../protocol/methods.ts";
import { clientClock } from "./clock.ts";
import type { ConnectOptions, Hello } from "./connect-options.ts";
import { Connection } from "./connection.ts";
import { assertShape, type Shape } from "./guards.ts";
import {
  activityItem,
  agentItem,
  chatItem,
  commandItem,
  linkItem,
  type OtherItem,
  otherItem,
} from "./items.ts";
import { RESULTS } from "./results.ts";
import { type Subscription, Watch, type WatchOptions } from "./watch.ts";

/** How a client's connection stands. */
export type ClientState =
  | { state: "connected"; hello: Hello }
  | { state: "disconnected"; why: MusterError; retryInMs: number }
  /** For good; without an error when the program closed it. */
  | { state: "closed"; why: MusterError | undefined };

export interface ClientOptions extends ConnectOptions {
  /** Told of every change of the connection. */
  onState?: ((state: ClientState) => void) | undefined;
}

export interface RequestOptions {
  /** In milliseconds; for requests that wait for work to end. */
  timeoutMs?: number | undefined;
}

/**
 * Connects to a server and says hello. Rejects with MusterError when the first try fails: `unauthenticated` for a token
 * that is not accepted, `unavailable` when nobody answers. Once connected, a lost connection is made again.
 */
export async function connect(options: ClientOptions): Promise<Client> {
  let settle: (state: ClientState) => void = () => {};
  const first = new Promise<ClientState>((resolve) => {
    settle = resolve;
  });
  const client = new Client({
    ...options,
    onState(state) {
      // What comes of the first try is this function's answer.
      if (client.hello !== undefined) options.onState?.(state);
      settle(state);
    },
  });
  const state = await first;
  if (state.state === "connected") return client;
  await client.close();
  throw state.why ?? new MusterError("unavailable", "the connection was closed");
}

/** Of a method that the types do not know it is not known what it answers. */
function resultOf<M extends Method>(method: M): Shape<Result<M>> {
  return Object.hasOwn(RESULTS, method) ? RESULTS[method] : () => undefined;
}

/** A session with a server; made by `connect`. */
export class Client {
  readonly #connection: Connection;
  readonly #options: ClientOptions;
  readonly #watches = new Map<string, Subscription>();
  #hello: Hello | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#connection = new Connection(options, {
      token: () => options.token,
      open: (hello) => {
        this.#hello = hello;
        options.onState?.({ state: "connected", hello });
        for (const watch of this.#watches.values()) watch.connected();
      },
      lost: (why, retryInMs) => {
        for (const watch of this.#watches.values()) watch.disconnected();
        options.onState?.({ state: "disconnected", why, retryInMs });
      },
      ended: (why) => {
        for (const watch of [...this.#watches.values()]) watch.finish(why);
        options.onState?.({ state: "closed", why });
      },
      notification: (method, params) => {
        if (typeof params.topic === "string") this.#watches.get(params.topic)?.notified(method, params);
      },
      request: async (method) => {
        throw new MusterError("method_not_found", `${method} is for agents`);
      },
    });
    this.#connection.start();
  }

  /** What the server said of the present or, while there is none, of the last session. */
  get hello(): Hello | undefined {
    return this.#hello;
  }

  /**
   * Calls a method. The result has at least what a program needs to go on; a later server's can have more: fields,
   * statuses, kinds and states that the types do not name. Rejects with MusterError: the server's, or `timeout`, or `unavailable` when the connection was lost;
   * of these two, `details.may_have_been_done` says whether the server may have carried it out.
   */
  async request<M extends Method>(
    method: M,
    params: ParamsIn<M>,
    options: RequestOptions = {},
  ): Promise<Result<M>> {
    const result = await this.#connection.request(method, params, options.timeoutMs);
    assertShape("internal", `${method}: the answer is none of this protocol`, result, resultOf(method));
    return result;
  }

  /** Calls a method whose name is only known at run time; the result is as the server sent it. */
  call(method: string, params: object = {}, options: RequestOptions = {}): Promise<unknown> {
    return this.#connection.request(method, params, options.timeoutMs);
  }

  /**
   * A live view of a topic: what is there, then every change, also across reconnects. One watch a topic at a time.
   * Iterate it once; leaving the loop ends it.
   */
  watch(topic: "agents" | `agents:${string}`, options?: WatchOptions): Watch<Agent>;
  watch(topic: "activity" | `activity:${string}`, options?: WatchOptions): Watch<ActivityEvent>;
  watch(topic: `commands:${string}`, options?: WatchOptions): Watch<AgentCommand>;
  watch(topic: "gateways" | `gateways:${string}`, options?: WatchOptions): Watch<GatewayLink>;
  watch(topic: `chat:${string}`, options?: WatchOptions): Watch<ChatEntry>;
  watch(topic: string, options?: WatchOptions): Watch<OtherItem>;
  watch(asked: string, options: WatchOptions = {}) {
    // The server understands ids in any case, and names the topic in lower case.
    const topic = asked.toLowerCase();
    const link = {
      isOpen: () => this.#connection.isOpen,
      ask: this.#connection.ask.bind(this.#connection),
      clock: this.#options.clock ?? clientClock,
      random: this.#options.random ?? Math.random,
      begin: (watch: Subscription) => {
        if (this.#watches.has(topic))
          throw new MusterError("conflict", `${topic} is already watched by this client; share that watch`);
        this.#watches.set(topic, watch);
      },
      end: () => {
        this.#watches.delete(topic);
      },
    };
    const kind = topic.split(":", 1)[0];
    if (kind === "agents") return new Watch(topic, agentItem, link, options);
    if (kind === "activity") return new Watch(topic, activityItem, link, options);
    if (kind === "commands") return new Watch(topic, commandItem, link, options);
    if (kind === "gateways") return new Watch(topic, linkItem, link, options);
    if (kind === "chat") return new Watch(topic, chatItem, link, options);
    return new Watch(topic, otherItem, link, options);
  }

  /** Ends the session; requests under way fail, watches end. */
  close(): Promise<void> {
    return this.#connection.close();
  }
}
