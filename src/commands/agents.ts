import { heartbeat, type Report } from "../actors/heartbeats.ts";
import { mayReadBoard, requireAdmin, requireBoardWrite, requireItself, requireUser } from "../auth/access.ts";
import type { agentMethods } from "../protocol/agents.ts";
import { MusterError } from "../protocol/errors.ts";
import { findAgentByName, listAgents, readAgent } from "../store/agents.ts";
import { agentHasToken } from "../store/tokens.ts";
import { indexOf, readAndShow, show } from "./answers.ts";
import { configurationOf } from "./configuration.ts";
import type { Context, Handlers } from "./context.ts";
import { createAgentOn, openingFor } from "./create-agent.ts";
import { findAgent, findBoard, findGateway } from "./find.ts";
import { pagesOf } from "./pages.ts";
import { updateAgent } from "./update-agent.ts";

export const agentCommands: Handlers<keyof typeof agentMethods> = {
  async "agent.create"(context, params) {
    const { services } = context;
    const created = await createAgentOn(context, await openingFor(context, params), params);
    // A failed provisioning shows on the agent; the create itself has succeeded.
    if (params.wait && created.token === undefined)
      await services.completions.wait(created.index, created.generation).catch(ifSuperseded);
    const agent = await readAndShow(services, created.id);
    return created.token === undefined ? { agent } : { agent, token: created.token };
  },

  async "agent.get"(context, params) {
    const user = requireAdmin(context.principal);
    return { agent: show(context.services, await findAgent(context, user.organizationId, params.agent_id)) };
  },

  async "agent.list"(context, params) {
    const user = requireAdmin(context.principal);
    const { organizationId } = user;
    if (params.board_id !== undefined) {
      await findBoard(context, organizationId, params.board_id);
      if (!mayReadBoard(user)) throw new MusterError("forbidden", "You may not read this board.");
    }
    if (params.gateway_id !== undefined) await findGateway(context, organizationId, params.gateway_id);
    const pages = pagesOf(context, { organizationId, list: "agent.list" });
    const { rows, total, nextCursor } = await listAgents(
      context.database,
      {
        organizationId,
        boardId: params.board_id,
        gatewayId: params.gateway_id,
        status: params.status,
        name: params.name,
      },
      pages.asked(params),
    );
    return {
      items: rows.map((row) => show(context.services, row)),
      total,
      next_cursor: pages.next(nextCursor),
    };
  },

  async "agent.update"(context, params) {
    const { services } = context;
    const { agent, begun } = await updateAgent(context, params);
    if (begun === null) return { agent: show(services, agent) };
    if (params.wait && begun.managed) {
      const error = await services.completions.wait(begun.index, begun.generation);
      if (error !== null) throw new MusterError("gateway_failed", `Gateway update failed: ${error}`);
    }
    return { agent: await readAndShow(services, agent.id) };
  },

  async "agent.delete"(context, params) {
    const { actors, clock, completions, registry } = context.services;
    const user = requireBoardWrite(context.principal);
    const agent = await readAgent(context.database, user.organizationId, params.agent_id);
    const index = agent && registry.indexOf(agent.id);
    if (!agent || index === undefined) return { ok: true };
    const { generation } = await actors
      .send(
        index,
        { type: "delete", force: params.force, at: clock.now() },
        { rider: context.claim ? { also: context.claim({ agent_id: agent.id }) } : {} },
      )
      .catch(ifGone);
    if (params.wait && registry.indexOf(agent.id) === index) {
      const error = await completions.wait(index, generation);
      if (error !== null) throw new MusterError("gateway_failed", `Gateway cleanup failed: ${error}`);
    }
    return { ok: true };
  },

  async "agent.heartbeat"(context, params) {
    const { principal } = context;
    if (principal.kind === "agent") requireItself(principal.agentId, params.agent_id);
    else requireBoardWrite(principal);
    const { organizationId } = principal.kind === "agent" ? principal : requireUser(principal);
    const agent = await findAgent(context, organizationId, params.agent_id);
    return { agent: await beat(context, agent.id, params) };
  },

  async "agent.heartbeat_or_create"(context, params) {
    const { principal, services } = context;
    if (principal.kind === "agent")
      return { agent: await beat(context, principal.agentId, params), created: false };
    const user = requireBoardWrite(principal);
    if (params.name === undefined) throw new MusterError("unprocessable", "name is required");
    const board = params.board_id ? await findBoard(context, user.organizationId, params.board_id) : null;
    const { name } = params;
    const find = () => findAgentByName(context.database, user.organizationId, name, board?.id ?? null);
    const found = await find();
    if (!found) {
      const opening = await openingFor(context, { board_id: params.board_id });
      const created = await createAgentOn(context, opening, { name: params.name }).catch(async (error) => {
        // Somebody else was faster: it is theirs, and lives.
        if (error instanceof MusterError && error.reason === "conflict" && (await find())) return null;
        throw error;
      });
      const { id } = created ?? (await find()) ?? {};
      if (id === undefined) throw new MusterError("not_found", "The agent is not there any more.");
      return { agent: await beat(context, id, params), created: created !== null };
    }
    const neverProvisioned = found.status === "provisioning" && found.work_state === "failed";
    if (neverProvisioned || !(await agentHasToken(context.database, found.id)))
      await services.actors.send(indexOf(services, found.id), {
        type: "provision",
        at: services.clock.now(),
      });
    return { agent: await beat(context, found.id, params), created: false };
  },

  async "agent.token.rotate"(context, params) {
    const { services } = context;
    const user = requireBoardWrite(context.principal);
    const agent = await findAgent(context, user.organizationId, params.agent_id);
    const index = indexOf(services, agent.id);
    const { token } = await services.rotateToken(index, services.clock.now());
    const shown = show(services, agent);
    services.attachments
      .channelOf(index)
      ?.configure(shown, configurationOf(shown), token)
      .catch(() => {});
    return { token };
  },
};

async function beat(context: Context, agentId: string, report: Report) {
  const { services } = context;
  await heartbeat(services, indexOf(services, agentId), report, services.clock.now());
  return readAndShow(services, agentId);
}

/** An update has taken the place of the work that was waited for; what was asked for has happened all the same. */
function ifSuperseded(error: unknown): void {
  if (!(error instanceof MusterError && error.reason === "conflict")) throw error;
}

/** It was deleted by somebody else in the meantime, which is what was asked for. */
function ifGone(error: unknown): { generation: number } {
  if (error instanceof MusterError && error.reason === "not_found") return { generation: -1 };
  throw error;
}
