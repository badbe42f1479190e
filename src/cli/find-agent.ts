import type { Client } from "../client/index.ts";
import { nameKeyOf } from "../protocol/names.ts";
import { PROGRAM } from "./program.ts";

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const PAGE = 500;

/** An agent's id by its id or, without regard to case, its name. Throws when there is none, or several. */
export async function findAgentId(client: Client, agent: string): Promise<string> {
  if (ID.test(agent)) return agent;
  const wanted = nameKeyOf(agent);
  const { items } = await client.request("agent.list", { name: agent.trim(), limit: PAGE });
  const found = items.filter(({ name }) => nameKeyOf(name) === wanted);
  const [one, other] = found;
  if (one && !other) return one.id;
  if (other) throw new Error(`there are ${found.length} agents named ${agent}: name one by its id`);
  throw new Error(`there is no agent named ${agent}; \`${PROGRAM} call agent.list\` shows them`);
}
