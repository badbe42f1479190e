import assert from "node:assert/strict";
import type { FakeDriver } from "./fake-driver.ts";
import type { TestServer } from "./server.ts";
import type { Message, Wire } from "./wire.ts";

/** `agent.update`. */
export const update = (wire: Wire, agent: Message, fields: object): Promise<Message> =>
  wire.call("agent.update", { agent_id: agent.id, ...fields });
/** The agent as it is now. */
export const read = async (wire: Wire, agent: Message): Promise<Message> =>
  (await wire.call("agent.get", { agent_id: agent.id })).agent;
/** A new agent on the board, provisioned. */
export const create = async (
  wire: Wire,
  board: Message,
  name: string,
  fields: object = {},
): Promise<Message> =>
  (await wire.call("agent.create", { name, board_id: board.id, wait: true, ...fields })).agent;

/** The agent's own connection, which has beaten once. */
export async function comeOnline(server: TestServer, gateway: FakeDriver, agent: Message): Promise<Wire> {
  const wire = await server.wire({ token: gateway.tokens.get(agent.id) ?? "" });
  assert.equal((await wire.call("heartbeat")).agent.status, "online");
  return wire;
}
