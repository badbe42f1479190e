import type { z } from "zod";
import type { Fault } from "../protocol/content.ts";
import type { topicNotifications } from "../protocol/topics.ts";
import { count, finite, flag, instant, list, record, type Shape, shape, text } from "./guards.ts";

type Notifications = { [M in keyof typeof topicNotifications]: z.output<(typeof topicNotifications)[M]> };
/** A change as `subscribe` tells of it to who has missed it: the topic is known. */
export type MissedChange = Omit<Notifications["change"], "topic">;

const missed = { offset: count, upserts: list(record), removes: list(text) };
export const missedChange = shape<MissedChange>(missed);

/** What is looked at of the messages about a topic; by the topic's name they have found their watch already. */
export const TOPIC_MESSAGES: { readonly [M in keyof Notifications]: Shape<Notifications[M]> } = {
  snapshot: shape({ items: list(record), more: flag }),
  change: shape(missed),
  seen: shape({ at: instant, agents: list(seenTime) }),
  reset: shape({ epoch: text, offset: count, items: list(record), more: flag }),
  end: shape({ reason: text }),
};

/** An agent's id, and how many milliseconds before it was seen. */
function seenTime(value: unknown): Fault | undefined {
  return Array.isArray(value) ? (text(value[0]) ?? finite(value[1])) : list(text)(value);
}
