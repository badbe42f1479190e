import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { until } from "./await.ts";
import type { FlavourName } from "./fake-gateway/flavours.ts";
import { FakeGateway } from "./fake-gateway/gateway.ts";
import { startTestServer, type TestServer } from "./server.ts";
import type { Message, Wire } from "./wire.ts";

export const ROOT = "/srv/agents";

/** A server, a played gateway that it knows, and a board on that. */
export interface Stand {
  gateway: FakeGateway;
  server: TestServer;
  wire: Wire;
  gatewayId: string;
  boardId: string;
}

export async function enter(
  t: TestContext,
  flavour: FlavourName,
  { settings = {}, environment = {} }: { settings?: object; environment?: Record<string, string> } = {},
): Promise<Stand> {
  const gateway = await FakeGateway.start(t, flavour);
  const server = await startTestServer(t, { environment });
  gateway.now = () => server.clock.now();
  const wire = await server.wire();
  const made = await wire.call("gateway.create", {
    name: "Played",
    kind: "openclaw",
    url: gateway.url,
    token: gateway.token,
    main_session_key: "agent:main:main",
    workspace_root: ROOT,
    ...settings,
  });
  const { board } = await wire.call("board.create", { name: "Harbour", gateway_id: made.gateway.id });
  return { gateway, server, wire, gatewayId: made.gateway.id, boardId: board.id };
}

/** Lets time pass until something holds: retries and time-outs come with it. */
export function whileTimePasses<T>(
  { server }: Stand,
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 20_000,
): Promise<T> {
  return until(
    async () => {
      const value = await condition();
      if (value === undefined || value === false) server.clock.advance(250);
      return value;
    },
    { what, timeoutMs },
  );
}

/** A new agent on the board. */
export const create = async ({ wire, boardId }: Stand, name: string, more: object = {}): Promise<Message> =>
  (await wire.call("agent.create", { name, board_id: boardId, ...more })).agent;

export async function events({ wire }: Stand, agentId: string, type: string): Promise<number> {
  const { items } = await wire.call("activity.list", { agent_id: agentId, type });
  return items.length;
}

/** Waits until an agent was woken so often. */
export const isWoken = (stand: Stand, agentId: string, times = 1) =>
  whileTimePasses(
    stand,
    "the wake-up",
    async () => (await events(stand, agentId, "agent.wakeup.sent")) >= times,
  );

/** What the gateway is to have of one agent in the end, whatever happened on the way. */
export function assertWhole({ gateway }: Pick<Stand, "gateway">, id: string, every: string): void {
  const { state } = gateway;
  assert.deepEqual(state.roster.get(id)?.heartbeat, { every, target: "none" });
  assert.equal(state.roster.get(id)?.workspace, `${ROOT}/workspace-${id}`);
  assert.match(state.files.get(id)?.get("AGENTS.md") ?? "", /How you work/);
  assert.equal(state.files.get(id)?.get("USER.md"), "theirs");
}

/** Nothing was done twice, and nothing that was so already; patches and files may be written again with something new. */
export function assertOnce({ gateway }: Pick<Stand, "gateway">): void {
  const { state } = gateway;
  assert.deepEqual(state.effectsOf("needless"), []);
  const once = state.effects.filter((effect) => !effect.startsWith("patch "));
  assert.deepEqual(
    once.filter((effect, position) => once.indexOf(effect) !== position),
    [],
  );
}
