import type { Principal } from "../auth/principals.ts";
import type { Services } from "../commands/services.ts";
import { isCommand, runCommand } from "../commands/table.ts";
import type { Metrics } from "../metrics.ts";
import { MusterError } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import { classify, type Incoming, success } from "../protocol/messages.ts";
import type { Calls } from "./calls.ts";
import type { Channels } from "./channels.ts";
import type { Failed } from "./failures.ts";
import { InFlight } from "./in-flight.ts";
import type { Subscriptions } from "./subscriptions.ts";

/** Requests that say how the agent is: that they are made says nothing more. */
const SAYS_ITSELF = new Set([
  "heartbeat",
  "heartbeats",
  "agent.detach",
  "agent.heartbeat",
  "agent.heartbeat_or_create",
]);

/** What a request comes to: its result, and what is to follow once that has been sent. */
interface Reply {
  result: unknown;
  after?: () => unknown;
}

/** Takes the answer to a request, and what is to follow once it has been sent. */
type Later = (answer: object, after?: () => unknown) => void;

/** What the dispatcher needs of its session: what messages are given to, and where the answers go. */
export interface DispatcherHost {
  readonly services: Services;
  readonly metrics: Metrics;
  readonly calls: Calls;
  readonly channels: Channels;
  readonly subscriptions: Subscriptions;
  readonly failed: Failed;
  /** Sends one message, or a batch of them. */
  send(message: object): void;
  /** Requests come on and on although they are refused. */
  flooded(): void;
}

/** Takes the messages of an open session, one by one or in batches, and sees that each request is answered once. */
export class Dispatcher {
  /** Who asks from now on: a user's role can change. */
  principal: Principal;
  readonly #host: DispatcherHost;
  readonly #inFlight: InFlight;

  constructor(principal: Principal, host: DispatcherHost) {
    this.principal = principal;
    this.#host = host;
    this.#inFlight = new InFlight(host.services.clock, () => host.flooded());
  }

  take(message: unknown): void {
    if (Array.isArray(message)) this.#takeBatch(message);
    else this.#takeOne(message);
  }

  #takeOne(message: unknown): void {
    const answer = this.#answer(classify(message), this.#sendThen);
    if (answer) this.#host.send(answer);
  }

  readonly #sendThen: Later = (answer, after) => {
    this.#host.send(answer);
    after?.();
  };

  #takeBatch(messages: unknown[]): void {
    if (messages.length === 0 || messages.length > LIMITS.max_batch) {
      const why = `A batch must hold 1 to ${LIMITS.max_batch} messages; this one holds ${messages.length}.`;
      return this.#host.send(this.#host.failed(null, "batch", new MusterError("invalid_request", why)));
    }
    // One frame answers them all, when the last is done; what follows from them comes after it.
    const answers: object[] = [];
    const afters: (() => unknown)[] = [];
    let open = 1;
    const done = () => {
      open -= 1;
      if (open > 0) return;
      if (answers.length > 0) this.#host.send(answers);
      for (const after of afters) after();
    };
    for (const message of messages) {
      const incoming = classify(message);
      const isRequest = incoming.kind === "request";
      if (isRequest) open += 1;
      const answer = this.#answer(incoming, (late, after) => {
        answers.push(late);
        if (after) afters.push(after);
        done();
      });
      if (answer) answers.push(answer);
    }
    done();
  }

  /** Answers at once, or hands the answer over later, as for every request; a notification that was good has none. */
  #answer(incoming: Incoming, later: Later): object | undefined {
    switch (incoming.kind) {
      case "invalid":
        return this.#host.failed(incoming.id, "invalid", incoming.why);
      case "response":
        this.#host.calls.answered(incoming.id, { result: incoming.result });
        return undefined;
      case "response-error":
        if (incoming.id !== null) this.#host.calls.answered(incoming.id, { error: incoming.error });
        return undefined;
      case "notification":
        return this.#notified(incoming.method, incoming.params);
      case "request": {
        const { id, method, params } = incoming;
        this.#host.metrics.countRequest(method);
        this.#inFlight
          .run(() => this.#request(method, params))
          .then(
            ({ result, after }) => later(success(id, result), after),
            (error) => later(this.#host.failed(id, method, error)),
          );
        return undefined;
      }
    }
  }

  #notified(method: string, params: Record<string, unknown>): object | undefined {
    try {
      if (method === "heartbeat") this.#host.channels.heartbeat(params);
      else if (method === "heartbeats") this.#host.channels.heartbeats(params);
      else
        throw new MusterError(
          "invalid_request",
          `${method} must be sent as a request, with an id: only heartbeat and heartbeats are notifications.`,
        );
      return undefined;
    } catch (error) {
      return this.#host.failed(null, method, error);
    }
  }

  async #request(method: string, params: Record<string, unknown>): Promise<Reply> {
    const { principal } = this;
    if (principal.kind === "agent" && !SAYS_ITSELF.has(method)) this.#host.channels.sighted();
    switch (method) {
      case "hello":
        throw new MusterError(
          "invalid_request",
          "hello was said already: it comes once, as the first message.",
        );
      case "agent.attach":
        return this.#host.channels.attach(params);
      case "agent.detach":
        return { result: await this.#host.channels.detach(params) };
      case "heartbeat":
        return { result: await this.#host.channels.heartbeatNow(params) };
      case "heartbeats":
        this.#host.channels.heartbeats(params);
        return { result: {} };
      case "subscribe":
        return this.#host.subscriptions.subscribe(() => this.principal, params);
      case "unsubscribe":
        return { result: await this.#host.subscriptions.unsubscribe(params) };
    }
    if (!isCommand(method))
      throw new MusterError("method_not_found", `There is no method ${JSON.stringify(method)}.`);
    const result = await runCommand(this.#host.services, principal, method, params);
    if (method === "agent.heartbeat" || method === "agent.heartbeat_or_create")
      this.#host.metrics.heartbeats.inc();
    return { result };
  }
}
