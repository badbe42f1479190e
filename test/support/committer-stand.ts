import { randomUUID } from "node:crypto";
import type { TestContext } from "node:test";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import type { AgentFields, Insertion, LifeColumns, Transition } from "../../src/store/changes.ts";
import { createCommitter } from "../../src/store/committer.ts";
import { closeDatabase, openDatabase } from "../../src/store/database.ts";
import type { BeatSource } from "../../src/store/heartbeat-writer.ts";
import { insertOrganization } from "../../src/store/organizations.ts";
import { createTestDatabase } from "./postgres.ts";

const AT = new Date("2030-01-01T00:00:00.000Z");

const REST: LifeColumns = {
  status: "provisioning",
  work_state: "idle",
  provision_action: null,
  provision_step: null,
  provision_step_since: null,
  provision_attempt: 0,
  provision_wakes: 0,
  provision_due_at: null,
  provision_force: false,
  provision_came_from: null,
  provision_failed: null,
  generation: 1,
  last_error: null,
};

/**
 * A committer on a real database with an organization, a gateway and a board.
 *
 * @param through the URL that the committer gets, from the database's own
 */
export async function committerStand(
  t: TestContext,
  { through, beats }: { through?: (url: string) => Promise<string>; beats?: BeatSource } = {},
) {
  const { url, drop } = await createTestDatabase();
  const database = openDatabase(url, { maxConnections: 3 });
  const own = openDatabase((await through?.(url)) ?? url);
  const metrics = createMetrics();
  const committer = createCommitter({
    database: own,
    intervalMs: 5,
    beats: beats ?? { take: () => null, waiting: 0 },
    metrics,
    log: createLog("silent"),
  });
  t.after(async () => {
    await committer.stop();
    await closeDatabase(own);
    await closeDatabase(database);
    await drop();
  });
  const organizationId = randomUUID();
  const gatewayId = randomUUID();
  const boardId = randomUUID();
  await insertOrganization(database, {
    organization: { id: organizationId, name: "Test" },
    owner: { id: randomUUID(), name: "Owner" },
    at: AT,
  });
  await database`
    insert into gateways (id, organization_id, name, kind) values (${gatewayId}, ${organizationId}, 'Here', 'direct')`;
  await database`
    insert into boards (id, organization_id, gateway_id, name, slug)
    values (${boardId}, ${organizationId}, ${gatewayId}, 'Harbour', 'harbour')`;

  const event = (type: string, agentId: string | null) => ({
    id: randomUUID(),
    type,
    message: type,
    organization_id: organizationId,
    board_id: boardId,
    agent_id: agentId,
    task_id: null,
    created_at: AT,
  });
  /** A new agent of that name. */
  const insertion = (name: string, fields: Partial<AgentFields> = {}): Insertion => {
    const agentId = randomUUID();
    return {
      kind: "insert",
      agentId,
      organizationId,
      at: AT,
      events: [event("agent.created", agentId)],
      token: null,
      also: null,
      life: REST,
      fields: {
        board_id: boardId,
        gateway_id: gatewayId,
        name,
        name_key: name.toLowerCase(),
        slug: name.toLowerCase(),
        is_board_lead: false,
        is_gateway_main: false,
        openclaw_session_id: `agent:${name.toLowerCase()}:main`,
        heartbeat_config: { every: "10m" },
        identity_profile: null,
        identity_template: null,
        soul_template: null,
        ...fields,
      },
    };
  };
  /** The agent at that version comes online. */
  const transition = (agentId: string, fromVersion: number, more: Partial<Transition> = {}): Transition => ({
    kind: "transition",
    agentId,
    fromVersion,
    at: AT,
    events: [event("agent.heartbeat", agentId)],
    token: null,
    also: null,
    life: { ...REST, status: "online" },
    fields: null,
    seen: null,
    forgetSealed: false,
    ...more,
  });
  const names = async () =>
    (await database<{ name: string }[]>`select name from agents order by name`).map(({ name }) => name);
  const countOf = async (type: string, agentId: string) => {
    const [row] = await database<{ count: number }[]>`
      select count(*) from activity where type = ${type} and agent_id = ${agentId}`;
    return row?.count;
  };
  return { url, database, committer, metrics, organizationId, event, insertion, transition, names, countOf };
}
