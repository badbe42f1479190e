/** What a topic is about. */
export const TOPIC_KINDS = ["agents", "activity", "commands", "gateways", "chat"] as const;
export type TopicKind = (typeof TOPIC_KINDS)[number];
/** Of what: the whole organization, or one board, gateway or agent. */
export type TopicScope = "organization" | "board" | "gateway" | "agent";

export interface TopicName {
  kind: TopicKind;
  scope: TopicScope;
  /** The board's, gateway's or agent's id; empty for the organization. */
  id: string;
}

const SCOPES: Record<TopicKind, readonly TopicScope[]> = {
  agents: ["organization", "board", "gateway", "agent"],
  activity: ["organization", "board", "agent"],
  commands: ["agent"],
  gateways: ["organization", "gateway"],
  chat: ["agent"],
};
const FORM =
  /^(agents|activity|commands|gateways|chat)(?::(board|gateway|agent):([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}))?$/;

/** Topics that can be subscribed to, for messages. */
export const TOPIC_FORMS = Object.entries(SCOPES).flatMap(([kind, scopes]) =>
  scopes.map((scope) => (scope === "organization" ? kind : `${kind}:${scope}:ID`)),
);

/** Reads a topic's name; undefined when there is no such topic. */
export function parseTopic(text: string): TopicName | undefined {
  const [, word, place = "organization", id = ""] = FORM.exec(text) ?? [];
  const kind = TOPIC_KINDS.find((name) => name === word);
  const scope = kind && SCOPES[kind].find((name) => name === place);
  return scope && { kind, scope, id: id.toLowerCase() };
}

/** A topic's name as pushes write it: ids are understood in any case, and told in lower case. */
export function topicText({ kind, scope, id }: TopicName): string {
  return scope === "organization" ? kind : `${kind}:${scope}:${id}`;
}

/** The names of the topics of one kind that something belongs to. */
export function topicsOf(
  kind: TopicKind,
  of: { boardId: string | null; gatewayId?: string; agentId: string | null },
): string[] {
  const topics: string[] = [kind];
  if (of.boardId !== null) topics.push(`${kind}:board:${of.boardId}`);
  if (of.gatewayId !== undefined) topics.push(`${kind}:gateway:${of.gatewayId}`);
  if (of.agentId !== null) topics.push(`${kind}:agent:${of.agentId}`);
  return topics;
}
