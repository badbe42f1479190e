import { mayReadBoard, requireAdmin } from "../auth/access.ts";
import type { Principal, UserPrincipal } from "../auth/principals.ts";
import type { Services } from "../commands/services.ts";
import { validate } from "../commands/validate.ts";
import type { Subscription } from "../live/readers.ts";
import type { Subscriber } from "../live/topic.ts";
import { parseTopic, TOPIC_FORMS, type TopicName, topicText } from "../live/topics.ts";
import { MusterError } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import { topicMethods } from "../protocol/topics.ts";
import { readAgent } from "../store/agents.ts";
import { readBoard } from "../store/boards.ts";
import { readGateway } from "../store/gateways.ts";

/** The topics that one session watches. */
export class Subscriptions {
  readonly #services: Services;
  readonly #subscriber: Subscriber;
  readonly #topics = new Set<string>();
  /** The last request about each topic that is not answered yet: the next one waits for it. */
  readonly #turns = new Map<string, Promise<unknown>>();
  #organizationId = "";

  constructor(services: Services, subscriber: Subscriber) {
    this.#services = services;
    this.#subscriber = subscriber;
  }

  /** @param principal who asks, whenever it is asked: a right can be lost on the way */
  async subscribe(principal: () => Principal, params: object): Promise<Subscription> {
    requireAdmin(principal());
    const { topic: asked, since } = validate(topicMethods.subscribe.params, params);
    const name = parseTopic(asked);
    if (!name)
      throw new MusterError(
        "not_found",
        `There is no topic ${JSON.stringify(asked)}. Topics are ${TOPIC_FORMS.join(", ")}.`,
      );
    const topic = topicText(name);
    return this.#inTurn(topic, () => this.#begin(principal, topic, name, since));
  }

  async #begin(
    principal: () => Principal,
    topic: string,
    name: TopicName,
    since: { epoch: string; offset: number } | undefined,
  ): Promise<Subscription> {
    const { organizationId } = requireAdmin(principal());
    await this.#requireVisible(organizationId, name);
    if (this.#topics.size >= LIMITS.max_subscriptions && !this.#topics.has(topic))
      throw new MusterError("rate_limited", `A session watches at most ${LIMITS.max_subscriptions} topics.`, {
        retry_after_ms: 1_000,
      });
    if (!this.#subscriber.isOpen) throw new MusterError("unavailable", "The session has ended.");
    this.#topics.add(topic);
    this.#organizationId = organizationId;
    try {
      const begun = await this.#services.hub.subscribe(this.#subscriber, organizationId, topic, since);
      // What went before it was watched has nobody told of its end.
      await this.#requireVisible(organizationId, name);
      if (!mayReadBoard(requireAdmin(principal())))
        throw new MusterError("forbidden", "You may not read this board.");
      if (!this.#topics.has(topic))
        throw new MusterError("not_found", `${topic} has ended before it could be watched.`);
      return begun;
    } catch (error) {
      this.#leave(topic);
      throw error;
    }
  }

  async unsubscribe(params: object): Promise<object> {
    const { topic: asked } = validate(topicMethods.unsubscribe.params, params);
    const name = parseTopic(asked);
    if (!name) return {};
    const topic = topicText(name);
    return this.#inTurn(topic, async () => {
      this.#leave(topic);
      return {};
    });
  }

  /** Ends what the user may not see any more. */
  recheck(user: UserPrincipal): void {
    if (mayReadBoard(user)) return;
    for (const topic of this.#topics) {
      this.#services.hub.unsubscribe(this.#subscriber, this.#organizationId, topic);
      this.#subscriber.notify("end", { topic, reason: "forbidden" });
    }
    this.#topics.clear();
  }

  /** The topic is over, and takes no place any more. */
  ended(topic: string): void {
    this.#topics.delete(topic);
  }

  drained(): void {
    this.#services.hub.drained(this.#subscriber);
  }

  close(): void {
    for (const topic of this.#topics)
      this.#services.hub.unsubscribe(this.#subscriber, this.#organizationId, topic);
    this.#topics.clear();
    this.#services.hub.closed(this.#subscriber);
  }

  #leave(topic: string): void {
    this.#topics.delete(topic);
    this.#services.hub.unsubscribe(this.#subscriber, this.#organizationId, topic);
  }

  /** Requests about one topic take effect in the order in which they came, however long each looks something up. */
  #inTurn<T>(topic: string, run: () => Promise<T>): Promise<T> {
    const earlier = this.#turns.get(topic);
    const turn = earlier ? earlier.then(run, run) : run();
    this.#turns.set(topic, turn);
    const done = () => {
      if (this.#turns.get(topic) === turn) this.#turns.delete(topic);
    };
    turn.catch(() => {}).finally(done);
    return turn;
  }

  /** What is another organization's is not found. */
  async #requireVisible(organizationId: string, { scope, id }: TopicName): Promise<void> {
    const { database } = this.#services;
    const readers = { board: readBoard, gateway: readGateway, agent: readAgent };
    if (scope === "organization" || (await readers[scope](database, organizationId, id))) return;
    throw new MusterError("not_found", `${scope[0]?.toUpperCase()}${scope.slice(1)} not found`);
  }
}
