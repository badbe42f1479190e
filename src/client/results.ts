import type { Method, Result } from "../protocol/methods.ts";
import {
  bound,
  count,
  finite,
  flag,
  type Guard,
  list,
  nullable,
  only,
  optional,
  record,
  type Shape,
  shape,
  text,
} from "./guards.ts";
import { agentItem, commandItem, linkItem } from "./items.ts";

/** What is looked at of each method's result before the caller gets it, with its type. */

const entity = shape<{ id: string }>({ id: text });
const page = (item: Guard) => ({ items: list(item), next_cursor: nullable(text) });
const countedPage = (item: Guard) => ({ ...page(item), total: count });
const limits = shape<Result<"hello">["limits"]>({
  max_frame_bytes: optional(bound),
  max_in_flight: optional(bound),
});
const heartbeat = shape<{ every_ms: number; offline_after_ms: number }>({
  every_ms: finite,
  offline_after_ms: finite,
});
const agent = { agent: agentItem };
const command = { command: commandItem };
const board = { board: entity };
const gateway = { gateway: entity };
const task = { task: entity };
const done = { ok: only(true) };

export const RESULTS: { readonly [M in Method]: Shape<Result<M>> } = {
  hello: shape({
    session: text,
    protocol: only(1),
    server: shape<Result<"hello">["server"]>({ name: text, version: text }),
    node: text,
    time: text,
    principal: shape<Result<"hello">["principal"]>({ kind: text }),
    limits,
    ch: optional(count),
    agent: optional(agentItem),
    heartbeat: optional(heartbeat),
  }),
  "agent.attach": shape({ ch: count, ...agent, heartbeat, limits: optional(limits) }),
  "agent.detach": shape({}),
  heartbeat: shape(agent),
  heartbeats: shape({}),

  subscribe: shape({
    topic: text,
    epoch: text,
    offset: count,
    recovered: optional(flag),
    items: optional(list(record)),
    changes: optional(list(record)),
    more: flag,
  }),
  unsubscribe: shape({}),

  "agent.create": shape({ ...agent, token: optional(text) }),
  "agent.get": shape(agent),
  "agent.list": shape(countedPage(agentItem)),
  "agent.update": shape(agent),
  "agent.delete": shape(done),
  "agent.heartbeat": shape(agent),
  "agent.heartbeat_or_create": shape(agent),
  "agent.token.rotate": shape({ token: text }),
  "agent.enroll": shape({ ...agent, token: text }),
  "agent.message": shape({ run_id: text }),

  "agent.command": shape({ command_id: text, status: text, error: optional(record) }),
  "command.get": shape(command),
  "command.list": shape(page(commandItem)),
  "command.cancel": shape(command),

  "board.create": shape(board),
  "board.get": shape(board),
  "board.list": shape(countedPage(entity)),
  "board.update": shape(board),
  "board.delete": shape(done),

  "gateway.create": shape(gateway),
  "gateway.get": shape(gateway),
  "gateway.list": shape(countedPage(entity)),
  "gateway.update": shape(gateway),
  "gateway.delete": shape(done),
  "gateway.status": shape({ link: nullable(linkItem), agents: record, failed: count }),
  "gateway.retry": shape({ retried: count }),
  "gateway.import": shape({ imported: list(agentItem), skipped: list(entity) }),
  "gateway.diff": shape({ items: list(record) }),

  "task.create": shape(task),
  "task.get": shape(task),
  "task.list": shape(countedPage(entity)),
  "task.update": shape(task),
  "task.delete": shape(done),

  "organization.get": shape({ organization: entity }),
  "user_token.create": shape({ user_token: entity, token: text }),
  "user_token.list": shape(countedPage(entity)),
  "user_token.delete": shape(done),

  "enrolment.create": shape({ enrolment: entity, token: text }),
  "enrolment.list": shape(countedPage(entity)),
  "enrolment.delete": shape(done),

  "activity.list": shape(page(entity)),
};
