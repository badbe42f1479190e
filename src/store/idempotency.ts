import type { Queries } from "./database.ts";

/** How long an answer is kept, in milliseconds. */
export const KEPT_MS = 24 * 60 * 60 * 1_000;

/** Which request it is. */
export interface RequestKey {
  organizationId: string;
  principalId: string;
  method: string;
  key: string;
}

export interface KeptAnswer {
  request_hash: Uint8Array;
  answer_sealed: Uint8Array;
}

/** The answer to an earlier request of the same key, not older than `since`. */
export async function readAnswer(
  database: Queries,
  of: RequestKey,
  since: Date,
): Promise<KeptAnswer | undefined> {
  const [row] = await database<KeptAnswer[]>`
    select request_hash, answer_sealed from idempotency
    where organization_id = ${of.organizationId} and principal_id = ${of.principalId}
      and method = ${of.method} and key = ${of.key} and created_at >= ${since}`;
  return row;
}

/** Claims the key for a request, in the transaction that carries it out. Breaks `idempotency_pkey` if it is taken. */
export async function claimKey(
  transaction: Queries,
  of: RequestKey,
  answer: KeptAnswer,
  at: Date,
): Promise<void> {
  await transaction`
    delete from idempotency
    where organization_id = ${of.organizationId} and principal_id = ${of.principalId}
      and method = ${of.method} and key = ${of.key} and created_at < ${new Date(at.getTime() - KEPT_MS)}`;
  await transaction`
    insert into idempotency ${transaction({
      organization_id: of.organizationId,
      principal_id: of.principalId,
      method: of.method,
      key: of.key,
      ...answer,
      created_at: at,
    })}`;
}

/** Keeps the whole answer for a claimed key. */
export async function keepAnswer(database: Queries, of: RequestKey, answerSealed: Uint8Array): Promise<void> {
  await database`
    update idempotency set answer_sealed = ${answerSealed}
    where organization_id = ${of.organizationId} and principal_id = ${of.principalId}
      and method = ${of.method} and key = ${of.key}`;
}

/** Frees a claimed key: nothing came of its request. */
export async function dropKey(database: Queries, of: RequestKey): Promise<void> {
  await database`
    delete from idempotency
    where organization_id = ${of.organizationId} and principal_id = ${of.principalId}
      and method = ${of.method} and key = ${of.key}`;
}

/** Forgets answers older than `before`. */
export async function dropAnswers(database: Queries, before: Date): Promise<void> {
  await database`delete from idempotency where created_at < ${before}`;
}
