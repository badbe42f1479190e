import type { SealedPlace } from "./seal.ts";

/** Every place in Postgres where something sealed is kept. */

export function gatewayTokenPlace(gateway: { id: string; organizationId: string }): SealedPlace {
  const { id, organizationId } = gateway;
  return { table: "gateways", column: "token_sealed", row: id, organizationId };
}

export function deviceKeyPlace(gateway: { id: string; organizationId: string }): SealedPlace {
  const { id, organizationId } = gateway;
  return { table: "gateway_links", column: "device_key_sealed", row: id, organizationId };
}

/** A fresh token on its way to the agent's workspace. */
export function agentTokenPlace(agent: { id: string; organizationId: string }): SealedPlace {
  const { id, organizationId } = agent;
  return { table: "agents", column: "token_sealed", row: id, organizationId };
}

/** The answer that is kept for an idempotency key. */
export function keptAnswerPlace(request: {
  organizationId: string;
  principalId: string;
  method: string;
  key: string;
}): SealedPlace {
  const { organizationId, principalId, method, key } = request;
  const row = JSON.stringify([principalId, method, key]);
  return { table: "idempotency", column: "answer_sealed", row, organizationId };
}
