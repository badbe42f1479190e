import { Limiter } from "../limiter.ts";
import { MusterError } from "../protocol/errors.ts";

/** Requests about a gateway's agents that may wait for one another in an organization. */
const MOST_WAITING = 16;

const limiter = new Limiter();
const waiting = new Map<string, number>();

/**
 * Goes through all that a gateway has: for each organization one at a time, as everything that the gateway lists is held in
 * memory meanwhile. Throws MusterError (`rate_limited`) where too many wait.
 */
export async function inRosterTurn<T>(organizationId: string, work: () => Promise<T>): Promise<T> {
  const before = waiting.get(organizationId) ?? 0;
  if (before >= MOST_WAITING)
    throw new MusterError(
      "rate_limited",
      "Too many requests about the agents of gateways wait for one another.",
    );
  waiting.set(organizationId, before + 1);
  try {
    return await limiter.run(organizationId, 1, work);
  } finally {
    const left = (waiting.get(organizationId) ?? 1) - 1;
    if (left > 0) waiting.set(organizationId, left);
    else waiting.delete(organizationId);
  }
}
