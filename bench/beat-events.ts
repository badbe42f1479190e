import { randomUUID } from "node:crypto";
import { insertActivity } from "../src/store/activity.ts";
import { makeActivityPartitions } from "../src/store/activity-partitions.ts";
import { insertBeatEvents } from "../src/store/beat-events.ts";
import { closeDatabase, type Database, openDatabase } from "../src/store/database.ts";
import { insertOrganization } from "../src/store/organizations.ts";
import { insertAgents } from "../test/support/fleet.ts";
import { createTestDatabase } from "../test/support/postgres.ts";
import { median, type Result } from "./support/results.ts";
import { spread } from "./support/rounds.ts";

const AGENTS = 50_000;
const ROUNDS = 9;
const AT_ONCE = 5_000;
const ONE_BY_ONE = 500;
/** A prime: neighbours in a batch are no neighbours among the agents. */
const STRIDE = 7_919;
const LEAST = 5;

/** One event for each of many heartbeats: with one statement for a batch, and one by one. */
export async function beatEvents(): Promise<Result> {
  const { url, drop } = await createTestDatabase();
  const database = openDatabase(url, { maxConnections: 1 });
  try {
    const place = await insertPlace(database);
    const { ids } = await insertAgents(database, place, AGENTS, { tokens: 0 });
    await makeActivityPartitions(database, new Date());
    await database`analyze agents`;
    const rates: Record<"together" | "apart", number[]> = { together: [], apart: [] };
    for (let round = 0; round < ROUNDS; round++) {
      const batch = Array.from({ length: AT_ONCE }, (_, n) => ((round * AT_ONCE + n) * STRIDE) % AGENTS);
      const nos = batch.map((index) => index + 1);
      const times = batch.map(() => Date.now());
      const together = await seconds(() => insertBeatEvents(database, { batch: randomUUID(), nos, times }));
      rates.together.push(AT_ONCE / together);
      const apart = await seconds(async () => {
        for (const index of batch.slice(0, ONE_BY_ONE))
          await insertActivity(database, [eventOf(ids[index] ?? "", place)]);
      });
      rates.apart.push(ONE_BY_ONE / apart);
    }
    const ratio = median(rates.together) / median(rates.apart);
    return {
      name: "beat-events",
      title: `An event for each heartbeat of ${AGENTS.toLocaleString("en")} agents`,
      rows: [
        {
          what: `rows written, ${AT_ONCE.toLocaleString("en")} with one statement (at least ${LEAST} times the reference); medians (least–greatest) of ${ROUNDS}`,
          ours: `${spread(rates.together)} rows/s`,
          reference: `${spread(rates.apart)} rows/s one by one`,
          ratio,
          holds: ratio >= LEAST,
        },
      ],
    };
  } finally {
    await closeDatabase(database);
    await drop();
  }
}

async function insertPlace(database: Database) {
  const [organizationId, gatewayId, boardId] = [randomUUID(), randomUUID(), randomUUID()];
  await insertOrganization(database, {
    organization: { id: organizationId, name: "Bench" },
    owner: { id: randomUUID(), name: "Owner" },
    at: new Date(),
  });
  await database`
    insert into gateways (id, organization_id, name, kind) values (${gatewayId}, ${organizationId}, 'Here', 'direct')`;
  await database`
    insert into boards (id, organization_id, gateway_id, name, slug)
    values (${boardId}, ${organizationId}, ${gatewayId}, 'Harbour', 'harbour')`;
  return { organizationId, gatewayId, boardId };
}

function eventOf(agentId: string, { organizationId, boardId }: { organizationId: string; boardId: string }) {
  return {
    id: randomUUID(),
    type: "agent.heartbeat",
    message: `Heartbeat from Agent ${agentId}.`,
    organization_id: organizationId,
    board_id: boardId,
    agent_id: agentId,
    task_id: null,
    created_at: new Date(),
  };
}

async function seconds(run: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await run();
  return (performance.now() - began) / 1_000;
}
