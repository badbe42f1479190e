import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { requireAdmin } from "../auth/access.ts";
import { gatewayBrief, rosterBrief } from "../gateways/briefs.ts";
import type { RosterEntry } from "../gateways/remote.ts";
import { type Agent, DEFAULT_HEARTBEAT_CONFIG, heartbeatConfig } from "../protocol/agents.ts";
import { contentFault, shortened } from "../protocol/content.ts";
import { MusterError } from "../protocol/errors.ts";
import { name as nameField } from "../protocol/fields.ts";
import type { Result } from "../protocol/methods.ts";
import { nameKeyOf } from "../protocol/names.ts";
import { forEachInSlices } from "../slices.ts";
import { type RosterRow, readAgentsOfGateway } from "../store/agents.ts";
import type { GatewayRow } from "../store/gateways.ts";
import { refusalOf } from "../store/refusals.ts";
import { readAndShow } from "./answers.ts";
import { BoundedList } from "./bounded-list.ts";
import type { Context, Handlers } from "./context.ts";
import { findBoard, findGateway, requireFit } from "./find.ts";
import { askingGateway } from "./gateway-failures.ts";
import { inRosterTurn } from "./roster-turns.ts";

/** Ids that can be part of session keys and folder names. */
const GATEWAY_AGENT_ID = /^[a-z0-9](?:[a-z0-9_-]{0,198}[a-z0-9])?$/;

type Difference = Result<"gateway.diff">["items"][number];
type Skipped = Result<"gateway.import">["skipped"][number];

/** Agents that one request takes over, and how many of them at the same time: each is a row in a commit. */
const MOST_IMPORTED = 500;
const AT_ONCE = 32;

/** What a gateway has compared with what is known of it here. */
export const gatewayRosterCommands: Handlers<"gateway.import" | "gateway.diff"> = {
  async "gateway.import"(context, { gateway_id, board_id, agent_ids }) {
    const { organizationId } = requireAdmin(context.principal);
    const board = await findBoard(context, organizationId, board_id);
    const gateway = await findLinkedGateway(context, organizationId, gateway_id);
    if (board.gateway_id !== gateway.id)
      throw new MusterError("unprocessable", "The board must be on the gateway whose agents are imported.");
    return inRosterTurn(organizationId, async () => {
      const skipped = new BoundedList<Skipped>();
      const due = await dueForImport(context, gateway, agent_ids && new Set(agent_ids), skipped);
      const imported = new BoundedList<Agent>();
      let next = 0;
      while (next < due.length && imported.items.length < MOST_IMPORTED && imported.hasRoom) {
        const group = due.slice(next, next + AT_ONCE);
        next += group.length;
        const outcomes = await Promise.allSettled(
          group.map((entry) => adopt(context, { organizationId, boardId: board.id, gateway }, entry)),
        );
        for (const [place, outcome] of outcomes.entries())
          if (outcome.status === "fulfilled") imported.add(outcome.value);
          else {
            const refusal =
              outcome.reason instanceof MusterError ? outcome.reason : refusalOf(outcome.reason);
            if (!refusal || refusal.reason === "unavailable") throw outcome.reason;
            const entry = group[place];
            if (entry) skipped.add(skip(entry, refusal.message));
          }
      }
      const more = due.length - next + imported.more + skipped.more;
      return { imported: imported.items, skipped: skipped.items, ...(more > 0 ? { more } : {}) };
    });
  },

  async "gateway.diff"(context, { gateway_id }) {
    const { organizationId } = requireAdmin(context.principal);
    const gateway = await findLinkedGateway(context, organizationId, gateway_id);
    return inRosterTurn(organizationId, async () => {
      const there = await inventoryOf(context, gateway);
      const found = new BoundedList<Difference>();
      const brief = gatewayBrief(gateway, context.services.seal);
      for await (const agents of readAgentsOfGateway(context.database, gateway.id))
        await askingGateway(() =>
          forEachInSlices(agents, (agent) => {
            const wanted = context.services.gateways.wanted(rosterBrief(agent), brief);
            for (const difference of differences(agent, wanted, there.get(wanted.id))) found.add(difference);
            there.delete(wanted.id);
          }),
        );
      await forEachInSlices([...there.values()], ({ id, name, isDefault }) => {
        const about = {
          kind: "extra",
          agent_id: null,
          gateway_agent_id: shownText(id),
          wanted: null,
        } as const;
        if (!isDefault) found.add({ ...about, found: shownText(name ?? id) });
      });
      return { items: found.items, ...(found.more > 0 ? { more: found.more } : {}) };
    });
  },
};

/** What a gateway has and is to be taken over; what is not, and why, goes to `skipped`. */
async function dueForImport(
  context: Context,
  gateway: GatewayRow,
  asked: ReadonlySet<string> | undefined,
  skipped: BoundedList<Skipped>,
): Promise<RosterEntry[]> {
  const there = await inventoryOf(context, gateway);
  const known = new Set<string>();
  for await (const agents of readAgentsOfGateway(context.database, gateway.id))
    for (const { openclaw_session_id } of agents) {
      const id = idAtGateway(openclaw_session_id);
      if (id !== undefined) known.add(id);
    }
  for (const id of asked ?? [])
    if (!there.has(id)) skipped.add(skip({ id, name: null }, "The gateway has no such agent."));
  const due: RosterEntry[] = [];
  await forEachInSlices([...there.values()], (entry) => {
    if (asked ? !asked.has(entry.id) : entry.isDefault) return;
    if (known.has(entry.id)) {
      if (asked) skipped.add(skip(entry, "It is here already."));
    } else if (GATEWAY_AGENT_ID.test(entry.id)) due.push(entry);
    else skipped.add(skip(entry, "Its id cannot be the name of a workspace here."));
  });
  return due;
}

const skip = ({ id, name }: Pick<RosterEntry, "id" | "name">, reason: string): Skipped => ({
  id: shownText(id),
  name: name === null ? null : shownText(name),
  reason,
});

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

function inventoryOf({ services }: Context, gateway: GatewayRow): Promise<Map<string, RosterEntry>> {
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

function differences(
  { id }: Pick<RosterRow, "id">,
  wanted: RosterEntry,
  found: RosterEntry | undefined,
): Difference[] {
  const about = { agent_id: id, gateway_agent_id: wanted.id };
  if (!found) return [{ ...about, kind: "missing", wanted: wanted.name ?? wanted.id, found: null }];
  return (["name", "workspace", "heartbeat"] as const).flatMap((kind) =>
    wanted[kind] === null || isDeepStrictEqual(wanted[kind], found[kind])
      ? []
      : [{ ...about, kind, wanted: shown(wanted[kind]), found: shown(found[kind]) }],
  );
}

/** Characters of a gateway's text, and of its heartbeat as JSON, that are shown. */
const MOST_TEXT = 500;
const MOST_HEARTBEAT = 4_000;

const shownText = (text: string) => shortened(text, MOST_TEXT);

/** What there is, as far as an answer may hold it: a heartbeat that is too long, or holds what no message may, as text. */
function shown(value: string | Record<string, unknown> | null): Difference["wanted"] {
  if (value === null) return null;
  if (typeof value === "string") return shownText(value);
  const json = JSON.stringify(value);
  if (json.length > MOST_HEARTBEAT || contentFault(value)) return shownText(json);
  return JSON.parse(json);
}
