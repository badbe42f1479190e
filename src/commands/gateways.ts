import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { requireAdmin } from "../auth/access.ts";
import { gatewayTokenPlace } from "../auth/sealed-places.ts";
import type { Config } from "../config.ts";
import { GatewayHosts } from "../gateway-hosts.ts";
import { gatewayBrief } from "../gateways/briefs.ts";
import { invalid } from "../protocol/content.ts";
import { MusterError } from "../protocol/errors.ts";
import type { GatewayKind, gatewayMethods } from "../protocol/gateways.ts";
import type { Queries } from "../store/database.ts";
import { forgetDeviceKey } from "../store/gateway-links.ts";
import {
  countLocalGateways,
  deleteGateway,
  type GatewayRow,
  gatewayHasAgents,
  insertGateway,
  listGateways,
  lockGateway,
  toGateway,
  updateGateway,
} from "../store/gateways.ts";
import { defined } from "./boards.ts";
import type { Context, Handlers } from "./context.ts";
import { findGateway } from "./find.ts";
import { pagesOf } from "./pages.ts";

/** The folder in which every workspace of the local gateways lies. */
export function workspacesRoot(config: Pick<Config, "dataDir">): string {
  return join(config.dataDir, "workspaces");
}

type LinkMethod = "gateway.status" | "gateway.retry" | "gateway.import" | "gateway.diff";

export const gatewayCommands: Handlers<Exclude<keyof typeof gatewayMethods, LinkMethod>> = {
  async "gateway.create"(context, { name, kind, token, ...params }) {
    const { organizationId } = requireAdmin(context.principal);
    requireAllowedHost(context, params.url);
    const at = new Date(context.services.clock.now());
    const id = randomUUID();
    const row = {
      id,
      organization_id: organizationId,
      name,
      kind,
      url: params.url ?? null,
      token_sealed: token
        ? context.services.seal.seal(token, gatewayTokenPlace({ id, organizationId }))
        : null,
      main_session_key: params.main_session_key ?? (kind === "local" ? `agent:gateway-${id}:main` : null),
      workspace_root: workspaceRoot(context, { id, kind }, params.workspace_root ?? null),
      allow_insecure_tls: params.allow_insecure_tls ?? false,
      created_at: at,
      updated_at: at,
    };
    const gateway =
      kind === "local" ? await insertLocalGateway(context, row) : await insertGateway(context.database, row);
    follow(context, gateway);
    return { gateway: toGateway(gateway) };
  },

  async "gateway.get"(context, params) {
    const { organizationId } = requireAdmin(context.principal);
    return { gateway: toGateway(await findGateway(context, organizationId, params.gateway_id)) };
  },

  async "gateway.list"(context, params) {
    const { organizationId } = requireAdmin(context.principal);
    const pages = pagesOf(context, { organizationId, list: "gateway.list" });
    const { rows, total, nextCursor } = await listGateways(
      context.database,
      organizationId,
      pages.asked(params),
    );
    return { items: rows.map(toGateway), total, next_cursor: pages.next(nextCursor) };
  },

  async "gateway.update"(context, { gateway_id, token, ...fields }) {
    const { organizationId } = requireAdmin(context.principal);
    const { kind } = await findGateway(context, organizationId, gateway_id);
    if (
      fields.workspace_root !== undefined &&
      kind === "local" &&
      (await gatewayHasAgents(context.database, gateway_id))
    )
      throw new MusterError(
        "conflict",
        "The workspaces of agents stay where they are: move or delete the agents first.",
      );
    requireAllowedHost(context, fields.url);
    const { services, database } = context;
    const { seal, clock } = services;
    const place = gatewayTokenPlace({ id: gateway_id, organizationId });
    const change = async (transaction: Queries) => {
      const before = await lockGateway(transaction, organizationId, gateway_id);
      const isForgotten = typeof token !== "string" && before !== undefined && leadsElsewhere(before, fields);
      if (isForgotten) await forgetDeviceKey(transaction, gateway_id);
      const given = typeof token === "string" ? seal.seal(token, place) : token;
      const token_sealed = isForgotten ? null : given;
      return updateGateway(transaction, organizationId, gateway_id, {
        ...defined(fields),
        ...(fields.workspace_root === undefined
          ? {}
          : { workspace_root: workspaceRoot(context, { id: gateway_id, kind }, fields.workspace_root) }),
        ...(token_sealed === undefined ? {} : { token_sealed }),
        updated_at: new Date(clock.now()),
      });
    };
    const gateway = await (database === services.database
      ? services.database.begin(change)
      : change(database));
    if (!gateway) throw new MusterError("not_found", "Gateway not found");
    follow(context, gateway);
    return { gateway: toGateway(gateway) };
  },

  async "gateway.delete"(context, { gateway_id }) {
    const { organizationId } = requireAdmin(context.principal);
    const { gateways, hub } = context.services;
    if (await deleteGateway(context.database, organizationId, gateway_id))
      context.onceCommitted(() => {
        gateways.removed(gateway_id);
        for (const kind of ["agents", "gateways"])
          hub.end(organizationId, `${kind}:gateway:${gateway_id}`, "deleted");
      });
    return { ok: true };
  },
};

/** Each has its own number of agents, which are processes: without a bound on gateways, that number would bound nothing. */
const MOST_LOCAL = 20;

/** Makes a gateway of kind local, if the organization may have another. */
function insertLocalGateway({ database, services }: Context, row: GatewayRow): Promise<GatewayRow> {
  const insert = async (transaction: Queries) => {
    if ((await countLocalGateways(transaction, row.organization_id)) >= MOST_LOCAL)
      throw new MusterError(
        "conflict",
        `An organization may have ${MOST_LOCAL} local gateways: delete one first.`,
      );
    return insertGateway(transaction, row);
  };
  return database === services.database ? services.database.begin(insert) : insert(database);
}

/** The link to the gateway follows its settings, as soon as they are committed. */
function follow({ onceCommitted, services: { gateways, seal } }: Context, gateway: GatewayRow): void {
  onceCommitted(() => gateways.changed({ ...gatewayBrief(gateway, seal), kind: gateway.kind }));
}

/**
 * A local gateway writes on this machine: only where the operator allows it, and only in a folder that is its own, under
 * the server's. The name that may be given is a folder in there.
 */
function workspaceRoot(
  { services }: Context,
  { id, kind }: { id: string; kind: GatewayKind },
  given: string | null,
): string | null {
  if (kind !== "local") return given;
  if (!services.config.localGateway)
    throw new MusterError(
      "unprocessable",
      "Local gateways are switched off on this server (MUSTER_LOCAL_GATEWAY).",
    );
  const own = join(workspacesRoot(services.config), id);
  if (given === null) return own;
  if (/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/.test(given)) return join(own, given);
  throw new MusterError(
    "unprocessable",
    "workspace_root of a local gateway must be a folder's name, like team-one.",
  );
}

/** What a name resolves to is looked at when it is dialled. */
function requireAllowedHost({ services }: Context, url: string | null | undefined): void {
  const hosts = services.config.gatewayHosts ?? GatewayHosts.usual;
  if (!url || (URL.canParse(url) && hosts.mayBe(new URL(url)))) return;
  const message = "must have a host that this server lets gateways have (MUSTER_GATEWAY_HOSTS)";
  throw invalid([{ path: ["url"], message }]);
}

/**
 * Whether a change makes a gateway's address lead somewhere else, or with less proof of who is there: what was kept for the
 * one must not be shown to the other.
 */
function leadsElsewhere(
  before: Pick<GatewayRow, "url" | "allow_insecure_tls">,
  change: { url?: string | null | undefined; allow_insecure_tls?: boolean | undefined },
): boolean {
  if (change.allow_insecure_tls === true && !before.allow_insecure_tls) return true;
  return change.url !== undefined && addressOf(change.url) !== addressOf(before.url);
}

/** A URL in one form, so that another way to write it is no change. */
function addressOf(url: string | null): string | null {
  return url !== null && URL.canParse(url) ? new URL(url).href : url;
}
