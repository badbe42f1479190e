import type { Seal } from "../auth/seal.ts";
import { gatewayTokenPlace } from "../auth/sealed-places.ts";
import type { AgentRow } from "../store/agent-rows.ts";
import type { RosterRow } from "../store/agents.ts";
import type { GatewayRow } from "../store/gateways.ts";
import type { AgentBrief, GatewayBrief, RosterBrief } from "./driver.ts";

/** What drivers are told of a gateway. */
export function gatewayBrief(gateway: GatewayRow, seal: Seal): GatewayBrief {
  const place = { id: gateway.id, organizationId: gateway.organization_id };
  return {
    ...place,
    name: gateway.name,
    url: gateway.url,
    token: gateway.token_sealed ? (seal.open(gateway.token_sealed, gatewayTokenPlace(place)) ?? null) : null,
    mainSessionKey: gateway.main_session_key,
    workspaceRoot: gateway.workspace_root,
    allowInsecureTls: gateway.allow_insecure_tls,
  };
}

/** What a gateway's own list of agents needs of one. */
export function rosterBrief(agent: RosterRow): RosterBrief {
  return {
    name: agent.name,
    slug: agent.slug,
    sessionKey: agent.openclaw_session_id,
    isMain: agent.is_gateway_main,
    heartbeatConfig: agent.heartbeat_config,
  };
}

/** What drivers are told of an agent. */
export function agentBrief(agent: AgentRow, board: AgentBrief["board"]): AgentBrief {
  return {
    ...rosterBrief(agent),
    id: agent.id,
    isLead: agent.is_board_lead,
    identityProfile: agent.identity_profile,
    identityTemplate: agent.identity_template,
    soulTemplate: agent.soul_template,
    generation: agent.generation,
    board,
  };
}
