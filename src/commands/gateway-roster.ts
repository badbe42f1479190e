import { randomUUID } from "node:crypto";
import { requireAdmin } from "../auth/access.ts";
import { agentBrief, gatewayBrief } from "../gateways/briefs.ts";
import type { RosterEntry } from "../gateways/remote.ts";
import { type Agent, DEFAULT_HEARTBEAT_CONFIG, heartbeatConfig } from "../protocol/agents.ts";
import { MusterError } from "../protocol/errors.ts";
import { name as nameField } from "../protocol/fields.ts";
import type { Result } from "../protocol/methods.ts";
import { nameKeyOf } from "../protocol/names.ts";
import type { AgentRow } from "../store/agent-rows.ts";
import { readAgentsOfGateway } from "../store/agents.ts";
import type { GatewayRow } from "../store/gateways.ts";
import { refusalOf } from "../store/refusals.ts";
import { readAndShow } from "./answers.ts";
import type { Context, Handlers } from "./context.ts";
import { findBoard, findGateway, requireFit } from "./find.ts";
import { askingGateway } from "./gateway-failures.ts";

/** Ids that can be part of session keys and folder names. */
const GATEWAY_AGENT_ID = /^[a-z0-9](?:[a-z0-9_-]{0,198}[a-z0-9])?$/;

type Difference = Result<"gateway.diff">["items"][number];

/** What a gateway has compared with what is known of it here. */
export const gatewayRosterCommands: Handlers<"gateway.import" | "gateway.diff"> = {
  async "gateway.import"(context, { gateway_id, board_id, agent_ids }) {
    const { organizationId } = requireAdmin(context.principal);
    const board = await findBoard(context, organizationId, board_id);
    const gateway = await findLinkedGateway(context, organizationId, gateway_id);
    if (board.gateway_id !== gateway.id)
      throw new MusterError("unprocessable", "The board must be on the gateway whose agents are imported.");
    const there = await inventoryOf(context, gateway);
    const known = new Set(
      (await readAgentsOfGateway(context.database, gateway.id)).map((agent) =>
        idAtGateway(agent.openclaw_session_id),
      ),
    );
    const asked = agent_ids && new Set(agent_ids);
    const ids = new Set(there.map(({ id }) => id));
    const imported: Agent[] = [];
    const skipped: Result<"gateway.import">["skipped"] = [];
    const skip = ({ id, name }: Pick<RosterEntry, "id" | "name">, reason: string) =>
      void skipped.push({ id, name, reason });
    for (const id of asked ?? [])
      if (!ids.has(id)) skip({ id, name: null }, "The gateway has no such agent.");
    for (const entry of there) {
      if (asked ? !asked.has(entry.id) : entry.isDefault) continue;
      if (known.has(entry.id)) {
        if (asked) skip(entry, "It is here already.");
        continue;
      }
      if (!GATEWAY_AGENT_ID.test(entry.id)) {
        skip(entry, "Its id cannot be the name of a workspace here.");
        continue;
      }
      try {
        imported.push(await adopt(context, { organizationId, boardId: board.id, gateway }, entry));
      } catch (error) {
        const refusal = error instanceof MusterError ? error : refusalOf(error);
        if (!refusal || refusal.reason === "unavailable") throw error;
        skip(entry, refusal.message);
      }
    }
    return { imported, skipped };
  },

  async "gateway.diff"(context, { gateway_id }) {
    const { organizationId } = requireAdmin(context.principal);
    const gateway = await findLinkedGateway(context, organizationId, gateway_id);
    const there = new Map((await inventoryOf(context, gateway)).map((entry) => [entry.id, entry]));
    const items: Difference[] = [];
    const brief = gatewayBrief(gateway, context.services.seal);
    for (const agent of await readAgentsOfGateway(context.database, gateway.id)) {
      const wanted = await askingGateway(async () =>
        context.services.gateways.wanted(agentBrief(agent, null), brief),
      );
      items.push(...differences(agent, wanted, there.get(wanted.id)));
      there.delete(wanted.id);
    }
    for (const { id, name, isDefault } of there.values())
      if (!isDefault)
        items.push({ kind: "extra", agent_id: null, gateway_agent_id: id, wanted: null, found: name ?? id });
    return { items };
  },
};

async function findLinkedGateway(context: Context, organizationId: string, id: string): Promise<GatewayRow> {
  const gateway = await findGateway(context, organizationId, id);
  if (gateway.kind !== "openclaw")
    throw new MusterError(
      "unprocessable",
      `A gateway of kind ${gateway.kind} has no list of agents of its own: this is for gateways of kind openclaw.`,
    );
  requireFit(gateway);
  return gateway;
}

function inventoryOf({ services }: Context, gateway: GatewayRow): Promise<RosterEntry[]> {
  return askingGateway(() => services.gateways.inventory(gatewayBrief(gateway, services.seal)));
}

/** The gateway's own id of an agent, as its session key tells it: a main agent's slug is its own affair. */
export const idAtGateway = (sessionKey: string) => sessionKey.split(":")[1];

/** Takes over one agent as the gateway has it, without a word to the gateway. */
async function adopt(
  { services }: Context,
  { organizationId, boardId, gateway }: { organizationId: string; boardId: string; gateway: GatewayRow },
  { id: slug, name: given, heartbeat }: RosterEntry,
): Promise<Agent> {
  const name = nameField.safeParse(given).data ?? slug;
  const id = randomUUID();
  await services.newcomers.adopt(
    {
      id,
      organizationId,
      managed: true,
      fields: {
        board_id: boardId,
        gateway_id: gateway.id,
        name,
        name_key: nameKeyOf(name),
        slug,
        is_board_lead: false,
        is_gateway_main: false,
        openclaw_session_id: `agent:${slug}:main`,
        heartbeat_config: heartbeatConfig.safeParse(heartbeat).data ?? DEFAULT_HEARTBEAT_CONFIG,
        identity_profile: null,
        identity_template: null,
        soul_template: null,
      },
    },
    services.clock.now(),
  );
  return readAndShow(services, id);
}

function differences({ id }: AgentRow, wanted: RosterEntry, found: RosterEntry | undefined): Difference[] {
  const about = { agent_id: id, gateway_agent_id: wanted.id };
  if (!found) return [{ ...about, kind: "missing", wanted: wanted.name ?? wanted.id, found: null }];
  return (["name", "workspace", "heartbeat"] as const).flatMap((kind) =>
    wanted[kind] === null || sorted(wanted[kind]) === sorted(found[kind])
      ? []
      : [{ ...about, kind, wanted: plain(wanted[kind]), found: plain(found[kind]) }],
  );
}

/** The same things in the same words, whatever the order of their fields. */
const sorted = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
      : inner,
  );

const plain = (value: string | Record<string, unknown> | null): Difference["wanted"] =>
  typeof value === "string" || value === null ? value : JSON.parse(JSON.stringify(value));
