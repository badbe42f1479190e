import { randomUUID } from "node:crypto";
import { requireBoardWrite } from "../auth/access.ts";
import type { agentCommandMethods } from "../protocol/agent-commands.ts";
import { MusterError } from "../protocol/errors.ts";
import {
  endAgentCommand,
  insertAgentCommand,
  listAgentCommands,
  readAgentCommand,
  toAgentCommand,
} from "../store/agent-commands.ts";
import type { Context, Handlers } from "./context.ts";
import { findAgent } from "./find.ts";
import { pagesOf } from "./pages.ts";

export const agentCommandCommands: Handlers<keyof typeof agentCommandMethods> = {
  async "agent.command"(context, params) {
    const { services, database } = context;
    const { organizationId } = requireBoardWrite(context.principal);
    const agent = await findAgent(context, organizationId, params.agent_id);
    if (params.delivery === "live") return callLive(context, agent.id, params);
    const at = services.clock.now();
    const command = {
      id: randomUUID(),
      organization_id: organizationId,
      agent_id: agent.id,
      name: params.name,
      args: params.args ?? null,
      created_at: new Date(at),
      expires_at: params.expires_ms === undefined ? null : new Date(at + params.expires_ms),
    };
    const row =
      database === services.database
        ? await services.database.begin((transaction) => insertAgentCommand(transaction, command))
        : await insertAgentCommand(database, command);
    context.onceCommitted(() => services.deliveries.queued(row));
    return { command_id: row.id, status: row.status };
  },

  async "command.get"(context, { command_id }) {
    const { organizationId } = requireBoardWrite(context.principal);
    const row = await readAgentCommand(context.database, organizationId, command_id);
    if (!row) throw new MusterError("not_found", "Command not found");
    return { command: toAgentCommand(row) };
  },

  async "command.list"(context, { agent_id, status, ...page }) {
    const { organizationId } = requireBoardWrite(context.principal);
    await findAgent(context, organizationId, agent_id);
    const pages = pagesOf(context, { organizationId, list: "command.list" });
    const { rows, nextCursor } = await listAgentCommands(
      context.database,
      { agentId: agent_id, status },
      pages.asked(page),
    );
    return { items: rows.map(toAgentCommand), next_cursor: pages.next(nextCursor) };
  },

  async "command.cancel"(context, { command_id }) {
    const { organizationId } = requireBoardWrite(context.principal);
    const known = await readAgentCommand(context.database, organizationId, command_id);
    if (!known) throw new MusterError("not_found", "Command not found");
    const at = new Date(context.services.clock.now());
    const row = await endAgentCommand(context.database, command_id, { status: "cancelled" }, at);
    if (!row) {
      const { status } = (await readAgentCommand(context.database, organizationId, command_id)) ?? known;
      throw new MusterError("conflict", `The command has come to its end already: it is ${status}.`);
    }
    context.onceCommitted(() => context.services.deliveries.ended(row));
    return { command: toAgentCommand(row) };
  },
};

/** Straight to the agent's channel, and its answer straight back. That the caller goes away takes nothing from the agent. */
async function callLive(
  { services }: Context,
  agentId: string,
  { name, args, timeout_ms }: { name: string; args?: object | undefined; timeout_ms: number },
) {
  const index = services.registry.indexOf(agentId);
  const channel = index === undefined ? undefined : services.attachments.channelOf(index);
  if (!channel)
    throw new MusterError(
      "agent_offline",
      "The agent is not connected, so a live command cannot reach it. Send it with delivery queued to have it wait.",
    );
  const command_id = randomUUID();
  const answer = await channel.command(command_id, name, args ?? {}, timeout_ms);
  if (answer === "lost")
    throw new MusterError(
      "agent_offline",
      "The agent's connection was lost before it answered; it may have done it.",
      {
        command_id,
      },
    );
  if ("error" in answer) return { command_id, status: "failed" as const, error: answer.error };
  return { command_id, status: "completed" as const, result: answer.result };
}
