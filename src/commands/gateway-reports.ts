import { sighted } from "../actors/heartbeats.ts";
import type { Recovery } from "../actors/recovery.ts";
import type { GatewayReports } from "../gateways/remote.ts";
import { findAgentBySession } from "../store/agents.ts";
import type { Services } from "./services.ts";

/** Reports whose agent is being looked up. Beyond, they are dropped: the next sign of life comes soon. */
const MOST_UNDER_WAY = 1_000;

/** What becomes of what the links to gateways report: who watches is told, and agents that did something are alive. */
export function createGatewayReports(
  services: Pick<Services, "database" | "registry" | "actors" | "beats" | "hub" | "clock" | "log">,
  recovery: Pick<Recovery, "gatewayIsBack">,
): GatewayReports {
  const { database, registry, clock, hub, log } = services;
  let underWay = 0;
  /** By session: the last report, as those of one conversation must keep their order. */
  const latest = new Map<string, Promise<unknown>>();

  const withAgent = (
    gatewayId: string,
    sessionKey: string,
    tell: (agent: { id: string; organization_id: string }) => void | Promise<void>,
  ): void => {
    if (underWay >= MOST_UNDER_WAY) return;
    underWay += 1;
    const key = `${gatewayId}/${sessionKey}`;
    const turn = (latest.get(key) ?? Promise.resolve())
      .then(() => findAgentBySession(database, gatewayId, sessionKey))
      .then((agent) => agent && tell(agent))
      .catch((error) => log.debug({ err: error, gateway: gatewayId }, "a gateway's report was lost"))
      .finally(() => {
        underWay -= 1;
        if (latest.get(key) === turn) latest.delete(key);
      });
    latest.set(key, turn);
  };

  return {
    link(organizationId, link) {
      hub.linked(organizationId, link);
      if (link.state === "ready") recovery.gatewayIsBack(link.id);
    },

    seen(gatewayId, sessionKey) {
      const at = clock.now();
      withAgent(gatewayId, sessionKey, ({ id }) => {
        const index = registry.indexOf(id);
        return index === undefined ? undefined : sighted(services, index, at);
      });
    },

    chat: (gatewayId, sessionKey, event) =>
      withAgent(gatewayId, sessionKey, ({ id, organization_id }) =>
        hub.chatted(organization_id, { agent_id: id, ...event }),
      ),
  };
}
