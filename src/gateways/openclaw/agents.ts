import { z } from "zod";
import { type AgentBrief, type GatewayBrief, GatewayError } from "../driver.ts";
import type { RosterEntry } from "../remote.ts";
import type { Ask } from "./ask.ts";
import { GatewayRefusal } from "./failures.ts";

/** The gateway's own agent, which is always there and cannot be removed. */
export const OWN_AGENT = "main";

const SESSION_KEY = /^agent:([^:]+):(.+)$/;

/** The id by which a gateway knows an agent. Throws GatewayError for a main session key that names none. */
export function gatewayAgentId({ isMain, slug, sessionKey }: AgentBrief): string {
  if (!isMain) return slug;
  const id = SESSION_KEY.exec(sessionKey)?.[1];
  if (id) return id;
  throw new GatewayError(
    `main_session_key ${sessionKey} does not name an agent: it must be like agent:main:main`,
    { transient: false },
  );
}

/** The folder of an agent's workspace, as the gateway's machine names it. Throws GatewayError where there is no root. */
export function workspaceOf(agent: AgentBrief, { name, workspaceRoot }: GatewayBrief): string {
  if (workspaceRoot === null)
    throw new GatewayError(`The gateway ${name} has no workspace_root`, { transient: false });
  return `${workspaceRoot.replace(/\/+$/, "")}/workspace-${gatewayAgentId(agent)}`;
}

const optional = <T extends z.ZodType>(schema: T) => schema.nullish().catch(null);
const listed = z.object({
  defaultId: optional(z.string()),
  agents: z.array(z.object({ id: z.string(), name: optional(z.string()), workspace: optional(z.string()) })),
});
const created = z.object({ agentId: z.string() });
const deleted = z.object({
  removedBindings: optional(z.number()),
  removed: optional(z.array(z.unknown())),
  failed: optional(z.array(z.unknown())),
});

/** Every agent that the gateway has. */
export async function listGatewayAgents(ask: Ask): Promise<Omit<RosterEntry, "heartbeat">[]> {
  const { agents, defaultId } = await ask("agents.list", {}, listed);
  return agents.map(({ id, name, workspace }) => ({
    id,
    name: name ?? null,
    workspace: workspace ?? null,
    isDefault: id === (defaultId ?? OWN_AGENT),
  }));
}

/** Makes the agent at the gateway, unless it is there. */
export async function ensureAgent(ask: Ask, id: string, workspace: string): Promise<void> {
  if (id === OWN_AGENT) return;
  const there = await listGatewayAgents(ask);
  if (there.some((agent) => agent.id === id)) return;
  try {
    const { agentId } = await ask("agents.create", { name: id, workspace }, created);
    if (agentId !== id)
      throw new GatewayError(`The gateway made an agent ${agentId} where ${id} was asked for`, {
        transient: false,
      });
  } catch (error) {
    // An answer that was lost in a restart: it is there.
    if (!(error instanceof GatewayRefusal) || !/already exists/.test(error.said)) throw error;
  }
}

/**
 * Takes the agent off the gateway, with its workspace and its sessions. What is not there any more is fine.
 *
 * @returns what the gateway said of it
 */
export async function removeAgent(ask: Ask, id: string): Promise<string[]> {
  if (id === OWN_AGENT) return [`The gateway's own agent ${id} stays on the gateway: it cannot be removed.`];
  try {
    const { removedBindings, removed, failed } = await ask("agents.delete", { agentId: id }, deleted);
    return [
      ...(removedBindings ? [`The gateway removed ${removedBindings} bindings of ${id}.`] : []),
      ...(removed?.length ? [`The gateway removed of ${id}: ${named(removed)}.`] : []),
      ...(failed?.length ? [`The gateway could not remove of ${id}: ${named(failed)}.`] : []),
    ];
  } catch (error) {
    if (error instanceof GatewayRefusal && /not found/.test(error.said)) return [];
    throw error;
  }
}

const named = (parts: readonly unknown[]) =>
  parts.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join(", ");
