import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";
import { forEachInSlices } from "../../slices.ts";
import { type AgentBrief, type GatewayBrief, GatewayError } from "../driver.ts";
import type { RosterEntry } from "../remote.ts";
import type { Ask } from "./ask.ts";
import { type GatewayVersion, readGatewayConfig } from "./config.ts";
import { GatewayRefusal } from "./failures.ts";
import { words } from "./said.ts";

/** The gateway's own agent, which is always there and cannot be removed. */
export const OWN_AGENT = "main";

/** Pauses between looks whether the gateway knows an agent that its configuration has, in milliseconds. */
const LOOK_MS = [100, 200, 400, 800, 1_000, 1_500, 2_000, 2_000, 2_000] as const;

const SESSION_KEY = /^agent:([^:]+):(.+)$/;

/** The id by which a gateway knows an agent. Throws GatewayError for a main session key that names none. */
export function gatewayAgentId({
  isMain,
  slug,
  sessionKey,
}: Pick<AgentBrief, "isMain" | "slug" | "sessionKey">): string {
  if (!isMain) return slug;
  const id = SESSION_KEY.exec(sessionKey)?.[1];
  if (id) return id;
  throw new GatewayError(
    `main_session_key ${sessionKey} does not name an agent: it must be like agent:main:main`,
    { transient: false },
  );
}

/** The folder of an agent's workspace, as the gateway's machine names it. Throws GatewayError where there is no root. */
export function workspaceOf(
  agent: Parameters<typeof gatewayAgentId>[0],
  { name, workspaceRoot }: GatewayBrief,
): string {
  if (workspaceRoot === null)
    throw new GatewayError(`The gateway ${name} has no workspace_root`, { transient: false });
  return `${workspaceRoot.replace(/\/+$/, "")}/workspace-${gatewayAgentId(agent)}`;
}

const optional = <T extends z.ZodType>(schema: T) => schema.nullish().catch(null);
const listed = z.object({
  defaultId: optional(z.string()),
  // Not looked at one by one by the schema: there can be very many.
  agents: z.custom<unknown[]>(Array.isArray),
});
const listedAgent = z.object({
  id: z.string(),
  name: optional(z.string()),
  workspace: optional(z.string()),
});
const created = z.object({ agentId: z.string().transform((id) => words(id, 200)) });
const deleted = z.object({
  removedBindings: optional(z.number()),
  removed: optional(z.array(z.unknown())),
  failed: optional(z.array(z.unknown())),
});

/** An agent as the gateway lists it. */
type Listed = Omit<RosterEntry, "heartbeat">;

/** Every agent that the gateway has. Throws GatewayError. */
export async function listGatewayAgents(ask: Ask): Promise<Listed[]> {
  const { agents, defaultId } = await ask("agents.list", {}, listed);
  const found: Listed[] = [];
  await forEachInSlices(agents, (agent) => {
    const { id, name, workspace } = readListed(agent);
    found.push({
      id,
      name: name ?? null,
      workspace: workspace ?? null,
      isDefault: id === (defaultId ?? OWN_AGENT),
    });
  });
  return found;
}

function readListed(agent: unknown): z.infer<typeof listedAgent> {
  const parsed = listedAgent.safeParse(agent);
  if (parsed.success) return parsed.data;
  throw new GatewayError("The gateway's answer to agents.list has a form that is not known", {
    transient: false,
    cause: parsed.error,
  });
}

/**
 * Makes the agent at the gateway, unless it is there, and resolves when the gateway knows it. Throws GatewayError.
 *
 * @returns how the gateway lists it; null for its own agent, which is always there
 */
export async function ensureAgent(
  ask: Ask,
  id: string,
  workspace: string,
  signal: AbortSignal,
): Promise<Listed | null> {
  if (id === OWN_AGENT) return null;
  const there = await find(ask, id);
  if (there) return there;
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
  return untilKnown(ask, id, signal);
}

const find = async (ask: Ask, id: string) => (await listGatewayAgents(ask)).find((agent) => agent.id === id);

/** Newer gateways read their configuration a moment after they wrote it: until then they know nothing of a new agent. */
async function untilKnown(ask: Ask, id: string, signal: AbortSignal): Promise<Listed> {
  for (const ms of LOOK_MS) {
    const there = await find(ask, id);
    if (there) return there;
    await pause(ms, undefined, { signal });
  }
  throw new GatewayError(`The gateway has made the agent ${id}, but does not know it`, { transient: true });
}

/** Whether a gateway says that it has no such agent. */
export const isUnknownAgent = (error: unknown): boolean =>
  error instanceof GatewayRefusal && /^agent .* not found|unknown agent/i.test(error.said);

/**
 * Takes the agent off the gateway, with its workspace and its sessions. What is not there any more is fine.
 *
 * @returns what the gateway said of it
 */
export async function removeAgent(
  ask: Ask,
  id: string,
  { gateway, signal }: { gateway: GatewayVersion; signal: AbortSignal },
): Promise<string[]> {
  if (id === OWN_AGENT) return [`The gateway's own agent ${id} stays on the gateway: it cannot be removed.`];
  try {
    return await remove(ask, id);
  } catch (error) {
    if (!isUnknownAgent(error)) throw error;
  }
  const { entries } = await readGatewayConfig(ask, gateway);
  if (!entries.has(id)) return [];
  // It was made a moment ago.
  await untilKnown(ask, id, signal);
  return remove(ask, id);
}

async function remove(ask: Ask, id: string): Promise<string[]> {
  const { removedBindings, removed, failed } = await ask("agents.delete", { agentId: id }, deleted);
  return [
    ...(removedBindings ? [`The gateway removed ${removedBindings} bindings of ${id}.`] : []),
    ...(removed?.length ? [`The gateway removed of ${id}: ${named(removed)}.`] : []),
    ...(failed?.length ? [`The gateway could not remove of ${id}: ${named(failed)}.`] : []),
  ];
}

/** Parts of what was removed that are named. */
const MOST_NAMED = 20;

function named(parts: readonly unknown[]): string {
  const shown = parts
    .slice(0, MOST_NAMED)
    .map((part) => words(typeof part === "string" ? part : JSON.stringify(part), 200));
  const more = parts.length - shown.length;
  return `${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
