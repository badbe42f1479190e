import { randomBytes } from "node:crypto";
import { DEFAULT_HEARTBEAT_CONFIG } from "../protocol/agents.ts";
import { MusterError } from "../protocol/errors.ts";
import type { Params } from "../protocol/methods.ts";
import { nameKeyOf } from "../protocol/names.ts";
import { slugOf } from "../store/agent-rows.ts";
import type { AgentFields } from "../store/changes.ts";
import type { GatewayRow } from "../store/gateways.ts";

/** An agent's own session key, which must not be its gateway's main one. */
export function ownSessionKey(slug: string, gateway: GatewayRow): string {
  const key = `agent:${slug}:main`;
  if (key !== gateway.main_session_key) return key;
  throw new MusterError(
    "conflict",
    "This agent name would collide with an existing workspace session key. Pick a different name.",
  );
}

/** The settings of a new agent, defaults filled in. */
export function newFields(
  params: Pick<
    Params<"agent.create">,
    "name" | "heartbeat_config" | "identity_profile" | "identity_template" | "soul_template" | "is_board_lead"
  >,
  boardId: string,
  gateway: GatewayRow,
): AgentFields {
  // A name of which no slug is left gets a random one.
  const slug = slugOf(params.name) || randomBytes(16).toString("hex");
  return {
    board_id: boardId,
    gateway_id: gateway.id,
    name: params.name,
    name_key: nameKeyOf(params.name),
    slug,
    is_board_lead: params.is_board_lead ?? false,
    is_gateway_main: false,
    openclaw_session_id: ownSessionKey(slug, gateway),
    heartbeat_config: params.heartbeat_config ?? DEFAULT_HEARTBEAT_CONFIG,
    identity_profile: params.identity_profile ?? null,
    identity_template: params.identity_template ?? null,
    soul_template: params.soul_template ?? null,
  };
}

/** The settings that an update gives by itself, before the questions of board and gateway. */
export function changedFields(params: Params<"agent.update">): Partial<AgentFields> {
  const { name, heartbeat_config, identity_profile, identity_template, soul_template, is_board_lead } =
    params;
  return {
    ...(name === undefined ? {} : { name, name_key: nameKeyOf(name) }),
    ...(heartbeat_config === undefined
      ? {}
      : { heartbeat_config: heartbeat_config ?? DEFAULT_HEARTBEAT_CONFIG }),
    ...(identity_profile === undefined ? {} : { identity_profile }),
    ...(identity_template === undefined ? {} : { identity_template }),
    ...(soul_template === undefined ? {} : { soul_template }),
    ...(is_board_lead === undefined ? {} : { is_board_lead }),
  };
}
