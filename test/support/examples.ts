import { randomUUID } from "node:crypto";
import { METHODS } from "../../src/protocol/methods.ts";
import type { TestServer } from "./server.ts";
import type { Wire } from "./wire.ts";

/** Things of an organization that requests can be about. */
export interface World {
  boardId: string;
  gatewayId: string;
  agentId: string;
  agentToken: string;
  spareId: string;
  taskId: string;
  commandId: string;
  enrolmentToken: string;
}

export async function makeWorld(server: TestServer, owner: Wire): Promise<World> {
  const { board, gateway } = await server.board(owner);
  const { agent, token } = await owner.call("agent.create", { name: "Scout", board_id: board.id });
  const spare = await owner.call("agent.create", { name: "Spare", board_id: board.id });
  const { task } = await owner.call("task.create", { board_id: board.id, title: "Look around" });
  const enrolment = await owner.call("enrolment.create", { board_id: board.id });
  const { command_id } = await owner.call("agent.command", {
    agent_id: agent.id,
    name: "look",
    delivery: "queued",
  });
  return {
    boardId: board.id,
    gatewayId: gateway.id,
    agentId: agent.id,
    agentToken: token,
    spareId: spare.agent.id,
    taskId: task.id,
    commandId: command_id,
    enrolmentToken: enrolment.token,
  };
}

/** One good request of every method, with all its fields, to be changed into bad ones. */
export function exampleOf(method: string, world: World): { method: string; params: object } {
  const { boardId: board_id, gatewayId: gateway_id, agentId: agent_id, taskId: task_id } = world;
  const page = { limit: 2, offset: 0, cursor: "" };
  const settings = {
    heartbeat_config: { every: "30s", target: "none" },
    identity_profile: { role: "scout", likes: ["tea", "maps"] },
    identity_template: "I am {{ name }}",
    soul_template: "Be kind",
    is_board_lead: false,
  };
  const report = { status: "online", activity: "busy", stats: { load: 0.5, note: { deep: ["x"] } } };
  const board = {
    name: "Board",
    slug: `b-${randomUUID()}`,
    gateway_id,
    type: "goal",
    objective: "x",
    success_metrics: { done: 1 },
    target_date: "2031-01-01",
  };
  const gateway = {
    name: "Gate",
    url: "ws://127.0.0.1:1",
    token: "secret",
    main_session_key: "agent:m:main",
    workspace_root: "/work",
    allow_insecure_tls: false,
  };
  const task = { title: "Do", description: "it", status: "in_progress", assigned_agent_id: agent_id };
  const idempotency_key = randomUUID();
  const EXAMPLES: Record<string, object> = {
    hello: { token: world.agentToken, client: { name: "fuzz", version: "1" } },
    "agent.attach": { token: world.agentToken },
    "agent.detach": { ch: 0, offline: true },
    heartbeat: { n: 1, ch: 0, ...report },
    heartbeats: { n: 1, chs: [0, 1, 2] },
    subscribe: { topic: `agents:board:${board_id}`, since: { epoch: randomUUID(), offset: 0 } },
    unsubscribe: { topic: "agents" },
    "agent.create": { name: `A ${randomUUID()}`, board_id, ...settings, wait: false, idempotency_key },
    "agent.get": { agent_id },
    "agent.list": { board_id, gateway_id, status: "online", name: "s", ...page },
    "agent.update": { agent_id, name: "Scout", board_id, ...settings, force: false, wait: true },
    "agent.delete": { agent_id: world.spareId, force: true, wait: true, idempotency_key },
    "agent.heartbeat": { agent_id, ...report },
    "agent.heartbeat_or_create": { name: "Scout", board_id, ...report },
    "agent.token.rotate": { agent_id },
    "agent.command": {
      agent_id,
      name: "look",
      args: { where: "up" },
      delivery: "queued",
      timeout_ms: 1_000,
      expires_ms: 60_000,
      idempotency_key,
    },
    "command.get": { command_id: world.commandId },
    "command.list": { agent_id, status: "queued", limit: 2, cursor: "" },
    "command.cancel": { command_id: world.commandId },
    "board.create": { ...board, idempotency_key },
    "board.get": { board_id },
    "board.list": { gateway_id, ...page },
    "board.update": { board_id, ...board },
    "board.delete": { board_id: randomUUID() },
    "gateway.create": { kind: "direct", ...gateway, idempotency_key },
    "gateway.get": { gateway_id },
    "gateway.list": page,
    "gateway.update": { gateway_id, ...gateway },
    "gateway.delete": { gateway_id },
    "gateway.status": { gateway_id },
    "gateway.retry": { gateway_id, agent_id },
    "gateway.import": { gateway_id, board_id, agent_ids: ["scout"] },
    "gateway.diff": { gateway_id },
    "agent.message": { agent_id, text: "How goes it?", idempotency_key },
    "task.create": { board_id, ...task, idempotency_key },
    "task.get": { task_id },
    "task.list": { board_id, assigned_agent_id: agent_id, status: "inbox", ...page },
    "task.update": { task_id, ...task },
    "task.delete": { task_id: randomUUID() },
    "organization.get": {},
    "user_token.create": { name: "t", expires_in: "1h" },
    "user_token.list": page,
    "user_token.delete": { token_id: "0123456789abcdef01234567" },
    "enrolment.create": { board_id, uses: 3, expires_in: "1d" },
    "enrolment.list": { board_id, ...page },
    "enrolment.delete": { enrolment_id: "0123456789abcdef01234567" },
    "agent.enroll": {
      token: world.enrolmentToken,
      name: `E ${randomUUID()}`,
      heartbeat_config: { every: "5s" },
    },
    "activity.list": {
      board_id,
      agent_id,
      type: "agent.created",
      since: "2030-01-01T00:00:00.000Z",
      limit: 2,
      cursor: "5",
    },
  };
  const params = EXAMPLES[method];
  if (params === undefined) throw new Error(`there is no example of ${method}: write one`);
  return { method, params };
}

export const ALL_METHODS = Object.keys(METHODS);
