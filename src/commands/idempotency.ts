import { createHash } from "node:crypto";
import type { Principal } from "../auth/principals.ts";
import { keptAnswerPlace } from "../auth/sealed-places.ts";
import { MusterError, type Reason } from "../protocol/errors.ts";
import type { Queries } from "../store/database.ts";
import { claimKey, dropKey, KEPT_MS, keepAnswer, type RequestKey, readAnswer } from "../store/idempotency.ts";
import { brokenConstraint, refusalOf } from "../store/refusals.ts";
import { readAndShow } from "./answers.ts";
import type { Context, PartialAnswer } from "./context.ts";
import type { Services } from "./services.ts";

/** What is kept for a key: the answer, or, had the server no time to give it, what it takes to give it now. */
type Kept =
  | { answer: unknown }
  | { error: { reason: Reason; message: string } }
  | { partial: PartialAnswer }
  | { pending: true };

/**
 * When the key is claimed: by the committer along with the agent's change, in the transaction that the whole command runs
 * in, or before it begins, for what leaves nothing behind in Postgres. What goes to somebody who knows repeats by the same
 * key claims it after it has succeeded: a failure is worth another try.
 */
export type Claims = "with the committer" | "in its transaction" | "before" | "after";

/**
 * Carries a request out once for its idempotency key: a repetition within a day gets the first one's answer. The key is
 * claimed in the transaction of the work itself, so that neither happens without the other. An answer may hold a token, so
 * whoever repeats must still have the right to ask.
 */
export async function once(
  { principal, services }: { principal: Principal; services: Services },
  {
    method,
    key,
    params,
    claims,
    mayRepeat,
  }: {
    method: string;
    key: string;
    params: object;
    claims: Claims;
    /** Rejects with `forbidden` or `not_found` for who might not make the request now. */
    mayRepeat: () => Promise<void>;
  },
  run: (inside: Pick<Context, "database" | "claim" | "onceCommitted">) => Promise<unknown>,
): Promise<unknown> {
  if (principal.kind === "host")
    throw new MusterError("forbidden", "A session without a token has no idempotency keys.");
  const of: RequestKey = {
    organizationId: principal.organizationId,
    principalId: principal.kind === "user" ? principal.userId : principal.agentId,
    method,
    key,
  };
  const { database, seal, clock } = services;
  const hash = createHash("sha256").update(JSON.stringify(params)).digest();
  const sealed = (kept: Kept) => seal.seal(JSON.stringify(kept), keptAnswerPlace(of));
  const earlier = await replay(services, of, hash, mayRepeat);
  if (earlier !== undefined) return earlier;
  const claimed = (kept: Kept) => ({ request_hash: hash, answer_sealed: sealed(kept) });
  const at = () => new Date(clock.now());
  let reachedClaim = false;
  /** Keeps what came of the work; where it came to nothing, the key is free again. */
  const keep = async (work: Promise<unknown>) => {
    try {
      const answer = await work;
      await keepAnswer(database, of, sealed({ answer }));
      return answer;
    } catch (error) {
      if (reachedClaim && isOutcome(error)) {
        const { reason, message } = error;
        await keepAnswer(database, of, sealed({ error: { reason, message } }));
      } else if (claims === "before" && reachedClaim) await dropKey(database, of);
      throw error;
    }
  };
  try {
    if (claims === "before") {
      await claimKey(database, of, claimed({ pending: true }), at());
      reachedClaim = true;
      return await keep(run({ database, onceCommitted: (tell) => tell() }));
    }
    if (claims === "after") {
      const answer = await run({ database, onceCommitted: (tell) => tell() });
      reachedClaim = true;
      await claimKey(database, of, claimed({ answer }), at());
      return answer;
    }
    if (claims === "with the committer") {
      const claim = (partial: PartialAnswer) => (transaction: Queries) => {
        reachedClaim = true;
        return claimKey(transaction, of, claimed({ partial }), at());
      };
      return await keep(run({ database, onceCommitted: (tell) => tell(), claim }));
    }
    const told: (() => void)[] = [];
    const answer = await database.begin(async (transaction) => {
      const given = await run({ database: transaction, onceCommitted: (tell) => told.push(tell) });
      await claimKey(transaction, of, claimed({ answer: given }), at());
      return { given };
    });
    for (const tell of told) tell();
    return answer.given;
  } catch (error) {
    const cause = error instanceof MusterError ? error.cause : error;
    // Of two at once, the second may find the first one's name taken before it finds its key taken.
    const mayBeLate = !reachedClaim && (refusalOf(error) ?? error);
    const isLate = mayBeLate instanceof MusterError && mayBeLate.reason === "conflict";
    if (brokenConstraint(cause) !== "idempotency_pkey" && !isLate) throw error;
    return (await replay(services, of, hash, mayRepeat)) ?? Promise.reject(error);
  }
}

/** Whether a failure is what came of the work, and not that there was none. */
function isOutcome(error: unknown): error is MusterError {
  if (!(error instanceof MusterError)) return false;
  if (error.reason === "agent_offline") return "command_id" in error.details;
  return error.reason === "gateway_failed" || error.reason === "timeout";
}

async function replay(
  services: Services,
  of: RequestKey,
  hash: Uint8Array,
  mayRepeat: () => Promise<void>,
): Promise<unknown> {
  const kept = await readAnswer(services.database, of, new Date(services.clock.now() - KEPT_MS));
  if (!kept) return undefined;
  await mayRepeat();
  if (!Buffer.from(hash).equals(kept.request_hash))
    throw new MusterError("conflict", "This idempotency_key was used for another request. Use a new key.");
  const opened = services.seal.open(kept.answer_sealed, keptAnswerPlace(of));
  if (opened === undefined)
    throw new MusterError(
      "conflict",
      "This request was carried out already; its answer cannot be read any more.",
    );
  const read: Kept = JSON.parse(opened);
  if ("answer" in read) return read.answer;
  if ("error" in read) throw new MusterError(read.error.reason, read.error.message);
  if ("pending" in read)
    throw new MusterError(
      "conflict",
      "The same request is being carried out already. Ask again in a moment.",
    );
  if (of.method === "agent.delete") return { ok: true };
  const { agent_id, token } = read.partial;
  return { agent: await readAndShow(services, agent_id), ...(token === undefined ? {} : { token }) };
}
