import { requireAdmin } from "../auth/access.ts";
import { readStuckAgents } from "../store/agents.ts";
import { countGatewayAgents } from "../store/gateways.ts";
import type { Handlers } from "./context.ts";
import { findAgent, findGateway } from "./find.ts";

/** Agents that are begun anew in the same instant: each is a commit. */
const AT_ONCE = 64;

/** How a gateway is, and going on with what was given up there. */
export const gatewayLinkCommands: Handlers<"gateway.status" | "gateway.retry"> = {
  async "gateway.status"(context, { gateway_id }) {
    const { organizationId } = requireAdmin(context.principal);
    await findGateway(context, organizationId, gateway_id);
    const { agents, failed } = await countGatewayAgents(context.database, gateway_id);
    return {
      link: context.services.gateways.linkOf(gateway_id) ?? null,
      agents: { provisioning: 0, online: 0, updating: 0, deleting: 0, offline: 0, ...agents },
      failed,
    };
  },

  async "gateway.retry"(context, { gateway_id, agent_id }) {
    const { organizationId } = requireAdmin(context.principal);
    const { actors, clock, gateways, registry } = context.services;
    await findGateway(context, organizationId, gateway_id);
    if (agent_id !== undefined) await findAgent(context, organizationId, agent_id);
    gateways.reconnect(gateway_id);
    const stuck = await readStuckAgents(context.database, gateway_id);
    const due = agent_id === undefined ? stuck : stuck.filter((id) => id === agent_id);
    let retried = 0;
    for (let begin = 0; begin < due.length; begin += AT_ONCE) {
      const outcomes = await Promise.allSettled(
        due.slice(begin, begin + AT_ONCE).map((id) => {
          const index = registry.indexOf(id);
          if (index === undefined) return { ignored: true };
          return actors.send(index, { type: "retry", at: clock.now() });
        }),
      );
      for (const outcome of outcomes)
        if (outcome.status === "fulfilled" && !outcome.value.ignored) retried += 1;
    }
    return { retried };
  },
};
