import type { Principal } from "../auth/principals.ts";
import type { Services } from "../commands/services.ts";
import { isCommand, runCommand } from "../commands/table.ts";
import type { Metrics } from "../metrics.ts";
import type { Codec } from "../protocol/codec.ts";
import { MusterError } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import { classify, type Incoming, type MessageId, success } from "../protocol/messages.ts";
import { Batch } from "./batch.ts";
import type { Calls } from "./calls.ts";
import type { Channels } from "./channels.ts";
import type { Failed } from "./failures.ts";
import { Flood } from "./flood.ts";
import { RequestQueue } from "./request-queue.ts";
import type { Subscriptions } from "./subscriptions.ts";

/** Requests that say how the agent is: that they are made says nothing more. */
const SAYS_ITSELF = new Set([
  "heartbeat",
  "heartbeats",
  "agent.detach",
  "agent.heartbeat",
  "agent.heartbeat_or_create",
]);

/** Bytes that an answer may have, about: a page of a list, an agent with its templates, and anything else. */
const PAGE_BYTES = 600_000;
const AGENT_BYTES = 1_300_000;
const USUAL_BYTES = 16_384;
const ANSWER_BYTES = new Map([
  ["subscribe", PAGE_BYTES],
  ["gateway.diff", PAGE_BYTES],
  ["gateway.import", PAGE_BYTES],
  ["command.get", PAGE_BYTES],
  ["agent.get", AGENT_BYTES],
  ["agent.create", AGENT_BYTES],
  ["agent.update", AGENT_BYTES],
  ["agent.heartbeat", AGENT_BYTES],
  ["agent.heartbeat_or_create", AGENT_BYTES],
]);
const answerBytesOf = (method: string) =>
  ANSWER_BYTES.get(method) ?? (method.endsWith(".list") ? PAGE_BYTES : USUAL_BYTES);

/** What a request comes to: its result, and what is to follow once that has been sent. */
interface Reply {
  result: unknown;
  after?: (() => unknown) | undefined;
}

/** Takes the answer to a request, and what is to follow once it has been sent. */
type Later = (answer: Frame, after?: () => unknown) => void;

type IncomingRequest = Extract<Incoming, { kind: "request" }>;

/** A message that is encoded already. */
type Frame = string | Uint8Array;

/** What the dispatcher needs of its session: what messages are given to, and where the answers go. */
export interface DispatcherHost {
  readonly services: Services;
  readonly metrics: Metrics;
  readonly calls: Calls;
  readonly channels: Channels;
  readonly subscriptions: Subscriptions;
  readonly failed: Failed;
  readonly codec: Codec;
  /** Bytes that the peer has not read yet. */
  readonly bufferedBytes: number;
  sendFrame(frame: Frame): void;
  /** What is refused comes on and on. */
  flooded(): void;
}

/** Takes the messages of an open session, one by one or in batches, and sees that each request is answered once. */
export class Dispatcher {
  /** Who asks from now on: a user's role can change. */
  principal: Principal;
  readonly #host: DispatcherHost;
  readonly #flood: Flood;
  readonly #queue: RequestQueue;

  constructor(principal: Principal, host: DispatcherHost) {
    this.principal = principal;
    this.#host = host;
    this.#flood = new Flood(host.services.clock, () => host.flooded());
    this.#queue = new RequestQueue(
      () => host.bufferedBytes,
      () => this.#flood.refused(),
    );
  }

  take(message: unknown): void {
    if (Array.isArray(message)) this.#takeBatch(message);
    else this.#takeOne(message);
  }

  /** A frame held no message that can be read: told to whom it may be told. */
  refuse(id: MessageId | null, error: unknown): void {
    this.#flood.refused();
    this.#host.sendFrame(this.#failure(id, "parse", error));
  }

  /** The peer has read what was waiting, or some of it. */
  drained(): void {
    this.#queue.pump();
  }

  close(): void {
    this.#queue.clear();
  }

  #takeOne(message: unknown): void {
    const answer = this.#answer(classify(message), this.#sendThen);
    if (answer !== undefined) this.#host.sendFrame(answer);
  }

  readonly #sendThen: Later = (answer, after) => {
    this.#host.sendFrame(answer);
    this.#follow(after);
  };

  #takeBatch(messages: unknown[]): void {
    if (messages.length === 0 || messages.length > LIMITS.max_batch) {
      const why = `A batch must hold 1 to ${LIMITS.max_batch} messages; this one holds ${messages.length}.`;
      return this.refuse(null, new MusterError("invalid_request", why));
    }
    const incoming = messages.map(classify);
    // Those that can be told of by no id are told of once: an error is longer than what it takes to provoke it.
    const nameless = incoming.filter((one) => one.kind === "invalid" && one.id === null);
    const [first] = nameless;
    const batch = new Batch(
      (bytes) => this.#queue.hold(bytes),
      (answers, afters) => {
        if (answers.length > 0) this.#host.sendFrame(this.#host.codec.joinBatch(answers));
        for (const after of afters) this.#follow(after);
      },
    );
    if (first?.kind === "invalid") {
      this.#flood.refused(nameless.length - 1);
      const error = this.#answer(first, batch.later);
      if (nameless.length === incoming.length && error !== undefined) return this.#host.sendFrame(error);
      batch.add(error);
    }
    for (const one of incoming) {
      if (one.kind === "invalid" && one.id === null) continue;
      if (one.kind === "request") batch.expect();
      batch.add(this.#answer(one, batch.later));
    }
    batch.done();
  }

  /** Answers at once, or hands the answer over later, as for every request; a notification that was good has none. */
  #answer(incoming: Incoming, later: Later): Frame | undefined {
    switch (incoming.kind) {
      case "invalid":
        return this.#invalid(incoming);
      case "response":
        this.#host.calls.answered(incoming.id, { result: incoming.result });
        return undefined;
      case "response-error":
        if (incoming.id !== null) this.#host.calls.answered(incoming.id, { error: incoming.error });
        return undefined;
      case "notification":
        return this.#notified(incoming.method, incoming.params);
      case "request": {
        const { id, method } = incoming;
        this.#host.metrics.countRequest(method);
        this.#queue.add({
          answerBytes: answerBytesOf(method),
          run: () => this.#run(incoming, later),
          refuse: (why) => this.#hand(incoming, later, this.#failure(id, method, why)),
        });
        return undefined;
      }
    }
  }

  #invalid({ id, why, isAnswer }: Extract<Incoming, { kind: "invalid" }>): Frame | undefined {
    // Whoever asked the agent has to hear that there will be no better answer.
    if (isAnswer && id !== null) {
      const { code, message } = why.toWire();
      if (this.#host.calls.answered(id, { error: { code, message } })) return undefined;
    }
    this.#flood.refused();
    return this.#failure(id, "invalid", why);
  }

  async #run(request: IncomingRequest, later: Later): Promise<void> {
    const { id, method, params } = request;
    let answer: Frame;
    let after: Reply["after"];
    try {
      const reply = await this.#request(method, params);
      answer = this.#host.codec.encode(success(id, reply.result));
      after = reply.after;
    } catch (error) {
      answer = this.#failure(id, method, error);
    }
    this.#hand(request, later, answer, after);
  }

  /** Hands an answer on. That it cannot be sent is for the log. */
  #hand({ id, method }: IncomingRequest, later: Later, answer: Frame, after?: Reply["after"]): void {
    try {
      later(answer, after);
    } catch (error) {
      this.#host.failed(id, method, error);
    }
  }

  #failure(id: MessageId | null, method: string, error: unknown): Frame {
    return this.#host.codec.encode(this.#host.failed(id, method, error));
  }

  /** Begins what is to follow an answer. That it fails is for the log: its request has been answered. */
  #follow(after: (() => unknown) | undefined): void {
    if (!after) return;
    const failed = (error: unknown) => {
      this.#host.failed(null, "what follows an answer", error);
    };
    try {
      Promise.resolve(after()).catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #notified(method: string, params: Record<string, unknown>): Frame | undefined {
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
      return this.#failure(null, method, error);
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
