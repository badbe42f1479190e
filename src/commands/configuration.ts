import { createHash } from "node:crypto";
import type { Agent } from "../protocol/agents.ts";

/** A fingerprint of an agent's settings: the same settings have the same one, whatever else is different. */
export function configurationOf(agent: Agent): string {
  const { id, board_id, gateway_id, name, is_board_lead, is_gateway_main, openclaw_session_id } = agent;
  const { heartbeat_config, identity_profile, identity_template, soul_template } = agent;
  const settings = [
    [id, board_id, gateway_id, name, is_board_lead, is_gateway_main, openclaw_session_id],
    sorted(heartbeat_config),
    sorted(identity_profile ?? {}),
    identity_template,
    soul_template,
  ];
  return createHash("sha256").update(JSON.stringify(settings)).digest("hex");
}

function sorted(record: Record<string, unknown>): [string, unknown][] {
  return Object.entries(record).sort(([one], [other]) => (one < other ? -1 : 1));
}
