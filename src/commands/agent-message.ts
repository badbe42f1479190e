import { randomUUID } from "node:crypto";
import { requireBoardWrite } from "../auth/access.ts";
import { agentBrief, gatewayBrief } from "../gateways/briefs.ts";
import { MusterError } from "../protocol/errors.ts";
import type { Handlers } from "./context.ts";
import { findAgent, findGateway } from "./find.ts";
import { askingGateway } from "./gateway-failures.ts";

/** Words to an agent, in its session at its gateway. What it answers comes on the topic chat:agent:ID. */
export const agentMessageCommands: Handlers<"agent.message"> = {
  async "agent.message"(context, { agent_id, text, idempotency_key }) {
    const { organizationId, userId } = requireBoardWrite(context.principal);
    const { gateways, seal } = context.services;
    const agent = await findAgent(context, organizationId, agent_id);
    const gateway = await findGateway(context, organizationId, agent.gateway_id);
    if (gateway.kind !== "openclaw")
      throw new MusterError(
        "unprocessable",
        `An agent on a gateway of kind ${gateway.kind} has no chat. agent.command reaches it while it is connected.`,
      );
    const key = idempotency_key === undefined ? randomUUID() : `${userId}-${idempotency_key}`;
    const to = { agent: agentBrief(agent, null), gateway: gatewayBrief(gateway, seal) };
    return askingGateway(() => gateways.message(to, text, `muster-message-${key}`));
  },
};
