import { VersionPassed } from "../actors/mailbox.ts";
import { leadBoardOf, requireBoardWrite, requireLeadMayChange, requireOwnBoard } from "../auth/access.ts";
import { MusterError } from "../protocol/errors.ts";
import type { Params } from "../protocol/methods.ts";
import type { AgentRow } from "../store/agent-rows.ts";
import { findTakenName } from "../store/agents.ts";
import { readAssignment } from "../store/assignments.ts";
import type { AgentFields } from "../store/changes.ts";
import type { GatewayRow } from "../store/gateways.ts";
import { Bounds, gatewayBound } from "./agent-bounds.ts";
import { indexOf } from "./answers.ts";
import type { Context } from "./context.ts";
import { findAgent, findBoard, findGateway, findGatewayOf, requireFit } from "./find.ts";
import { idAtGateway } from "./gateway-roster.ts";
import { changedFields, ownSessionKey } from "./settings.ts";

/** Which update of the agent was committed to happen; null when there was nothing to do. */
export interface Updating {
  agent: AgentRow;
  begun: { index: number; generation: number; managed: boolean } | null;
}

/** How often an update is worked out anew because the agent has moved on meanwhile. */
const MOST_TRIES = 10;

/** Changes an agent's settings and begins to bring them to its gateway. */
export async function updateAgent(context: Context, params: Params<"agent.update">): Promise<Updating> {
  for (let tries = 1; ; tries++)
    try {
      return await tryUpdate(context, params);
    } catch (error) {
      if (!(error instanceof VersionPassed)) throw error;
      if (tries === MOST_TRIES)
        throw new MusterError("conflict", "The agent is being changed by others all the time. Try again.");
    }
}

async function tryUpdate(context: Context, params: Params<"agent.update">): Promise<Updating> {
  const { actors, clock } = context.services;
  const agent = await findAgentToChange(context, params);
  if (params.status !== undefined)
    throw new MusterError("forbidden", "status is controlled by agent heartbeat");
  const given = changedFields(params);
  const untouched = params.board_id === undefined && params.is_gateway_main === undefined;
  if (Object.keys(given).length === 0 && untouched && !params.force) return { agent, begun: null };
  const { gateway, fields } = untouched
    ? await stay(context, agent, given)
    : await placeAgent(context, agent, params, given);
  if (fields.name !== undefined) await requireFreeName(context, gateway, { ...agent, ...fields });
  const leaves = gateway.id !== agent.gateway_id || changesEntry(agent, gateway, fields);
  const leaving = leaves ? await readAssignment(context.database, agent.id) : undefined;
  const index = indexOf(context.services, agent.id);
  const managed = gateway.kind !== "direct";
  const bounds = new Bounds(gateway.id === agent.gateway_id ? undefined : gatewayBound(context, gateway));
  await bounds.requireRoom(context.database);
  const also = bounds.before(context.claim?.({ agent_id: agent.id }));
  // What a lead may change follows from what the agent is, as what depends on its place does.
  const hangsOnVersion = !untouched || context.principal.kind === "agent";
  const outcome = await actors.send(
    index,
    { type: "update", force: params.force, at: clock.now() },
    {
      rider: {
        ...(hangsOnVersion ? { ifVersion: agent.version } : {}),
        fields,
        context: { managed, name: fields.name ?? agent.name },
        ...(leaving ? { leaving } : {}),
        ...(also ? { also } : {}),
      },
    },
  );
  if (outcome.ignored)
    throw new MusterError("conflict", "The agent is being deleted: it cannot be updated any more.");
  return { agent, begun: { index, generation: outcome.generation, managed } };
}

/** Says no to a name that another agent of the gateway has under a key of earlier versions. */
async function requireFreeName(context: Context, { id }: GatewayRow, agent: AgentRow): Promise<void> {
  const taken = await findTakenName(context.database, { ...agent, gateway_id: id }, agent.id);
  if (taken) throw taken;
}

/** Whether it becomes another entry of its gateway's own list: the one that it was must not live on beside it. */
function changesEntry(agent: AgentRow, { kind }: GatewayRow, fields: Partial<AgentFields>): boolean {
  const id = idAtGateway(fields.openclaw_session_id ?? agent.openclaw_session_id);
  return kind === "openclaw" && id !== undefined && id !== idAtGateway(agent.openclaw_session_id);
}

/** The agent, if the principal may change it. */
export async function findAgentToChange(context: Context, params: Params<"agent.update">): Promise<AgentRow> {
  const { principal } = context;
  if (principal.kind === "agent") {
    const ownBoardId = leadBoardOf(await findAgent(context, principal.organizationId, principal.agentId));
    const agent = await findAgent(context, principal.organizationId, params.agent_id);
    requireOwnBoard(ownBoardId, agent.board_id);
    requireOwnBoard(ownBoardId, params.board_id ?? ownBoardId);
    requireLeadMayChange(principal.agentId, agent, params);
    return agent;
  }
  const user = requireBoardWrite(principal);
  return findAgent(context, user.organizationId, params.agent_id);
}

/** The agent stays where it is; but a gateway's main agent leads no board. */
async function stay(context: Context, agent: AgentRow, given: Partial<AgentFields>) {
  const gateway = await findGateway(context, agent.organization_id, agent.gateway_id);
  if (!agent.is_gateway_main) requireFit(gateway);
  return { gateway, fields: agent.is_gateway_main ? { ...given, is_board_lead: false } : given };
}

/** Where the agent is to be, and the settings that follow from it. */
async function placeAgent(
  context: Context,
  agent: AgentRow,
  params: Params<"agent.update">,
  given: Partial<AgentFields>,
): Promise<{ gateway: GatewayRow; fields: Partial<AgentFields> }> {
  const boardOf = (id: string) => findBoard(context, agent.organization_id, id);
  if (params.is_gateway_main === true) {
    const boardId = params.board_id ?? agent.board_id;
    const gateway =
      boardId === null
        ? await findGateway(context, agent.organization_id, agent.gateway_id)
        : await findGatewayOf(context, await boardOf(boardId));
    if (!gateway.main_session_key)
      throw new MusterError("unprocessable", "Gateway main_session_key is required");
    return {
      gateway,
      fields: {
        ...given,
        board_id: null,
        gateway_id: gateway.id,
        is_board_lead: false,
        is_gateway_main: true,
        openclaw_session_id: gateway.main_session_key,
      },
    };
  }
  const staysMain = params.is_gateway_main === undefined && agent.is_gateway_main;
  if (staysMain) {
    if (params.board_id)
      throw new MusterError(
        "unprocessable",
        "A gateway's main agent has no board. To give it one, send is_gateway_main: false along with board_id.",
      );
    const gateway = await findGateway(context, agent.organization_id, agent.gateway_id);
    return { gateway, fields: { ...given, is_board_lead: false } };
  }
  const boardId = params.board_id === undefined ? agent.board_id : params.board_id;
  if (boardId === null) throw new MusterError("unprocessable", "board_id is required for non-main agents");
  const board = await boardOf(boardId);
  const gateway = await findGatewayOf(context, board);
  return {
    gateway,
    fields: {
      ...given,
      board_id: board.id,
      gateway_id: gateway.id,
      is_gateway_main: false,
      // Asked for again on every gateway it comes to: its key may be that one's main one.
      ...(agent.is_gateway_main || gateway.id !== agent.gateway_id
        ? { openclaw_session_id: ownSessionKey(agent.slug, gateway) }
        : {}),
    },
  };
}
