import { forgetAgentInActivity, insertActivity } from "./activity.ts";
import { ARRAY_OF } from "./array-types.ts";
import type { Change, Committed, Insertion, Removal, Seen, Transition } from "./changes.ts";
import type { Queries } from "./database.ts";
import { appendHeartbeats } from "./heartbeat-journal.ts";
import { releaseTasks } from "./tasks.ts";
import { insertAgentToken } from "./tokens.ts";

/** A change whose agent is not at the version it started from: somebody else wrote it, or it was written already. */
export class StaleChange extends Error {
  override name = "StaleChange";
}

/**
 * Writes a group of changes within a transaction. Transitions of the machine's own columns, which come in storms, are
 * one statement for all; what is rare is written one by one.
 *
 * @returns for each change, in order, what became of it, or StaleChange
 */
export async function writeChanges(
  transaction: Queries,
  changes: readonly Change[],
): Promise<(Committed | StaleChange)[]> {
  const results = new Map<Change, Committed | StaleChange>();
  const plain = changes.filter(
    (change): change is Transition => change.kind === "transition" && !change.fields,
  );
  for (const [change, result] of await moveOn(transaction, plain)) results.set(change, result);
  for (const change of changes) {
    if (!results.has(change)) results.set(change, await writeOne(transaction, change));
    if (results.get(change) instanceof StaleChange) continue;
    if (change.token) await insertAgentToken(transaction, change.agentId, change.token.minted, change.at);
    if (change.also) await change.also(transaction);
  }
  const written = changes.filter((change) => !(results.get(change) instanceof StaleChange));
  const seq = await journalSeen(transaction, written);
  await insertActivity(
    transaction,
    written.flatMap(({ events }) => events),
  );
  return changes.map((change) => {
    const result = results.get(change) ?? new StaleChange(change.agentId);
    return result instanceof StaleChange || !seenOf(change) ? result : { ...result, seq };
  });
}

function writeOne(transaction: Queries, change: Change): Promise<Committed | StaleChange> {
  switch (change.kind) {
    case "insert":
      return insert(transaction, change);
    case "transition":
      return moveOnWithFields(transaction, change);
    case "remark":
      return Promise.resolve({ version: null, no: null, seq: null });
    case "removal":
      return remove(transaction, change);
  }
}

async function moveOn(
  transaction: Queries,
  changes: readonly Transition[],
): Promise<Map<Transition, Committed | StaleChange>> {
  if (changes.length === 0) return new Map();
  const column = <T>(read: (change: Transition) => T) => changes.map(read);
  const booleans = (read: (change: Transition) => boolean) =>
    transaction.array(changes.map(read), ARRAY_OF.bool);
  const moved = await transaction<{ id: string; version: number }[]>`
    update agents a set
      status = u.status, work_state = u.work_state, provision_action = u.action, provision_step = u.step,
      provision_step_since = u.step_since, provision_attempt = u.attempt, provision_wakes = u.wakes, provision_due_at = u.due_at,
      provision_force = u.force, provision_came_from = u.came_from,
      provision_failed = u.failed, generation = u.generation,
      last_error = u.last_error, token_sealed = case when u.forget then null else coalesce(u.sealed, a.token_sealed) end,
      version = a.version + 1, updated_at = u.at
    from unnest(
      ${column(({ agentId }) => agentId)}::uuid[], ${column(({ fromVersion }) => fromVersion)}::int[],
      ${column(({ life }) => life.status)}::text[], ${column(({ life }) => life.work_state)}::text[],
      ${column(({ life }) => life.provision_action)}::text[], ${column(({ life }) => life.provision_step)}::text[],
      ${column(({ life }) => life.provision_step_since?.toISOString() ?? null)}::timestamptz[],
      ${column(({ life }) => life.provision_attempt)}::int[], ${column(({ life }) => life.provision_wakes)}::int[],
      ${column(({ life }) => life.provision_due_at?.toISOString() ?? null)}::timestamptz[],
      ${booleans(({ life }) => life.provision_force)},
      ${column(({ life }) => life.provision_came_from)}::text[],
      ${column(({ life }) => life.provision_failed)}::text[], ${column(({ life }) => life.generation)}::int[],
      ${column(({ life }) => life.last_error)}::text[], ${column(({ token }) => hex(token?.sealed))}::bytea[],
      ${booleans(({ forgetSealed }) => forgetSealed)}, ${column(({ at }) => at.toISOString())}::timestamptz[]
    ) u (id, version, status, work_state, action, step, step_since, attempt, wakes, due_at, force, came_from, failed, generation,
         last_error, sealed, forget, at)
    where a.id = u.id and a.version = u.version
    returning a.id, a.version`;
  const versions = new Map(moved.map(({ id, version }) => [id, version]));
  return new Map(
    changes.map((change) => {
      const version = versions.get(change.agentId);
      return [
        change,
        version === undefined ? new StaleChange(change.agentId) : { version, no: null, seq: null },
      ];
    }),
  );
}

/** Bytes as Postgres writes them in an array. */
const hex = (bytes: Uint8Array | null | undefined) =>
  bytes ? `\\x${Buffer.from(bytes).toString("hex")}` : null;

async function moveOnWithFields(transaction: Queries, change: Transition): Promise<Committed | StaleChange> {
  const { heartbeat_config, identity_profile, ...fields } = change.fields ?? {};
  const columns = {
    ...change.life,
    ...fields,
    ...(heartbeat_config === undefined ? {} : { heartbeat_config: transaction.json(heartbeat_config) }),
    ...(identity_profile === undefined
      ? {}
      : { identity_profile: identity_profile === null ? null : transaction.json(identity_profile) }),
    ...(change.forgetSealed
      ? { token_sealed: null }
      : change.token
        ? { token_sealed: change.token.sealed }
        : {}),
    version: change.fromVersion + 1,
    updated_at: change.at,
  };
  const moved = await transaction`
    update agents set ${transaction(columns)} where id = ${change.agentId} and version = ${change.fromVersion}`;
  return moved.count === 0
    ? new StaleChange(change.agentId)
    : { version: change.fromVersion + 1, no: null, seq: null };
}

async function insert(transaction: Queries, change: Insertion): Promise<Committed> {
  const { heartbeat_config, identity_profile, ...fields } = change.fields;
  const columns = {
    id: change.agentId,
    organization_id: change.organizationId,
    ...change.life,
    ...fields,
    heartbeat_config: transaction.json(heartbeat_config),
    identity_profile: identity_profile === null ? null : transaction.json(identity_profile),
    token_sealed: change.token?.sealed ?? null,
    created_at: change.at,
    updated_at: change.at,
  };
  const [row] = await transaction<{ no: number; version: number }[]>`
    insert into agents ${transaction(columns)} returning no, version`;
  if (!row) throw new Error("an insert gave no row back");
  await transaction`insert into presence (agent_no) values (${row.no})`;
  return { ...row, seq: null };
}

async function remove(transaction: Queries, change: Removal): Promise<Committed | StaleChange> {
  const [present] = await transaction`
    select 1 from agents where id = ${change.agentId} and version = ${change.fromVersion} for update`;
  if (!present) return new StaleChange(change.agentId);
  await releaseTasks(transaction, change.agentId, change.at);
  await forgetAgentInActivity(transaction, change.agentId);
  await transaction`delete from agents where id = ${change.agentId}`;
  return { version: 0, no: null, seq: null };
}

const seenOf = (change: Change): Seen | null =>
  change.kind === "transition" || change.kind === "remark" ? change.seen : null;

/** Signs of life go where heartbeats go: a row of `presence` each would be a third of what a storm costs Postgres. */
async function journalSeen(transaction: Queries, changes: readonly Change[]): Promise<number | null> {
  const seen = changes.map(seenOf).filter((one) => one !== null);
  if (seen.length === 0) return null;
  return appendHeartbeats(
    transaction,
    Int32Array.from(seen, ({ no }) => no),
    Float64Array.from(seen, ({ at }) => at),
  );
}
