import { z } from "zod";
import type { Seal } from "../../auth/seal.ts";
import type { Clock } from "../../clock.ts";
import type { GatewayHosts } from "../../gateway-hosts.ts";
import type { Log } from "../../log.ts";
import { forEachInSlices } from "../../slices.ts";
import type { Database } from "../../store/database.ts";
import { readUnsupportedFiles, rememberUnsupportedFile } from "../../store/gateway-links.ts";
import { type Driver, type GatewayBrief, GatewayError, type Work } from "../driver.ts";
import type { GatewayReports, RemoteGateways, RosterEntry } from "../remote.ts";
import type { RenderTemplate } from "../templates/workspace.ts";
import {
  ensureAgent,
  gatewayAgentId,
  isUnknownAgent,
  listGatewayAgents,
  OWN_AGENT,
  removeAgent,
  workspaceOf,
} from "./agents.ts";
import { type Ask, asker } from "./ask.ts";
import { type GatewayVersion, heartbeatIn, readGatewayConfig } from "./config.ts";
import { ConfigWriter } from "./config-writer.ts";
import { type Unsupported, writeFiles } from "./files.ts";
import { Links } from "./links.ts";
import { createEventReader } from "./reports.ts";
import { endSession, ensureSession, hasReached, resetSession, sendUntilReached } from "./sessions.ts";
import { cleanUpMessage, wakeMessage } from "./words.ts";

/** Agents at work at one gateway at a time; the requests that they make there wait for one another at its link. */
const AT_ONCE = 512;
/** Long enough for a gateway that allows three patches a minute, in milliseconds. */
const STEP_TIMEOUT_MS = 600_000;

/** Events of one run that wait until the message is known to be sent. */
const MOST_HELD_BACK = 100;

const chatAnswer = z.object({ runId: z.string() });

/** The gateways of kind openclaw: their driver, and what else they can do. */
export function createOpenClaw({
  database,
  seal,
  clock,
  log,
  serverUrl,
  hosts,
  renderTemplate,
  reports,
}: {
  database: Database;
  seal: Seal;
  clock: Clock;
  log: Log;
  /** Where agents reach this server, asked at each use. */
  serverUrl: () => string;
  /** Which hosts gateways may have. */
  hosts: GatewayHosts;
  renderTemplate: RenderTemplate;
  reports: GatewayReports;
}): { driver: Driver; remote: RemoteGateways } {
  /** What is told of a run before the message that began it: that comes first. */
  const heldBack = new Map<string, (() => void)[]>();
  const inOrder: GatewayReports = {
    ...reports,
    chat(gatewayId, sessionKey, event) {
      const held = heldBack.get(event.run_id);
      const tell = () => reports.chat(gatewayId, sessionKey, event);
      if (!held) tell();
      else if (held.length < MOST_HELD_BACK) held.push(tell);
    },
  };
  const organizationOf = (gatewayId: string) => links.get(gatewayId)?.organizationId;
  const links = new Links({
    database,
    seal,
    clock,
    log,
    hosts,
    events: {
      status(link) {
        const organizationId = organizationOf(link.id);
        if (organizationId !== undefined) reports.link(organizationId, link);
      },
      event: createEventReader(inOrder, clock),
    },
  });
  const writers = new Map<string, ConfigWriter>();
  const asking = (gateway: GatewayBrief, signal?: AbortSignal): Ask =>
    // Not with the settings that the work began with: newer ones may have come since.
    asker(() => links.get(gateway.id) ?? links.of(gateway), signal);
  const versionOf = (gatewayId: string): GatewayVersion =>
    links.get(gatewayId)?.hello ?? { protocol: 3, version: null };

  function writerFor(gateway: GatewayBrief): ConfigWriter {
    const known = writers.get(gateway.id);
    if (known) return known;
    const link = () => {
      const known = links.get(gateway.id);
      if (known) return known;
      throw new GatewayError("The gateway is not there any more", { transient: false });
    };
    const writer = new ConfigWriter({
      // Without a signal: what is gathered is for many, and one that is called off must not stop the others.
      ask: asker(link),
      inTurn: async (write) => link().inTurn(write),
      gateway: () => versionOf(gateway.id),
      clock,
    });
    writers.set(gateway.id, writer);
    return writer;
  }

  function unsupportedAt({ id }: GatewayBrief): Unsupported {
    const hello = links.get(id)?.hello;
    const version = hello?.version ?? `protocol ${hello?.protocol ?? 0}`;
    return {
      read: async () => new Set(await readUnsupportedFiles(database, id, version)),
      remember: (name) => rememberUnsupportedFile(database, id, version, name),
    };
  }

  /** Whoever forces a delete has seen that the gateway is of no help: nothing waits for one that is away. */
  function requireReach({ gateway, force }: Work): void {
    const status = links.get(gateway.id)?.status;
    if (!force || status?.state === "ready") return;
    throw new GatewayError(`The gateway is away: ${status?.last_error ?? "there is no link to it"}`, {
      transient: false,
    });
  }

  async function roster({ agent, gateway, signal }: Work): Promise<void> {
    const ask = asking(gateway, signal);
    const id = gatewayAgentId(agent);
    const wanted = workspaceOf(agent, gateway);
    const entry = await ensureAgent(ask, id, wanted, signal);
    const config = await readGatewayConfig(ask, versionOf(gateway.id));
    // Its listing may be older than its configuration.
    const kept = config.entries.get(id);
    const name = textOf(kept?.name) ?? entry?.name;
    const workspace = textOf(kept?.workspace) ?? entry?.workspace;
    const changes = {
      ...(name === agent.name ? {} : { name: agent.name }),
      ...(workspace === wanted ? {} : { workspace: wanted }),
    };
    if (id !== OWN_AGENT && Object.keys(changes).length > 0)
      await ask("agents.update", { agentId: id, ...changes }, z.unknown()).catch((error) => {
        if (!isUnknownAgent(error)) throw error;
        throw new GatewayError(`Somebody else has removed the agent ${id} at the gateway`, {
          transient: true,
        });
      });
    await writerFor(gateway).want(id, agent.heartbeatConfig, signal);
  }

  /** Messages on their way, by their keys. */
  const underWay = new Map<string, Promise<{ run_id: string }>>();

  async function send(
    { agent: { sessionKey }, gateway }: Pick<Work, "agent" | "gateway">,
    text: string,
    key: string,
  ): Promise<{ run_id: string }> {
    const held: (() => void)[] = [];
    heldBack.set(key, held);
    try {
      const params = { sessionKey, message: text, idempotencyKey: key };
      const { runId } = await asking(gateway)("chat.send", params, chatAnswer);
      const at = new Date(clock.now()).toISOString();
      reports.chat(gateway.id, sessionKey, { run_id: runId, kind: "sent", text, at });
      return { run_id: runId };
    } finally {
      heldBack.delete(key);
      for (const tell of held) tell();
    }
  }

  const driver: Driver = {
    atOnce: AT_ONCE,
    stepTimeoutMs: STEP_TIMEOUT_MS,

    async session({ agent, gateway, action, signal }) {
      const ask = asking(gateway, signal);
      const id = gatewayAgentId(agent);
      await ensureAgent(ask, id, workspaceOf(agent, gateway), signal);
      await ensureSession(ask, agent, id);
      if (action === "update") await resetSession(ask, database, agent, id);
    },

    roster,

    files: (work) => {
      const { agent, gateway, signal } = work;
      return writeFiles(asking(gateway, signal), unsupportedAt(gateway), work, {
        agentId: gatewayAgentId(agent),
        serverUrl: serverUrl(),
        renderTemplate,
      });
    },

    async wake({ agent, gateway, action, wakes, signal }) {
      const ask = asking(gateway, signal);
      const { sessionKey } = agent;
      const idempotencyKey = `muster-${agent.id}-${agent.generation}-${wakes}`;
      // Gateways forget their keys in a restart, but not what was said.
      if (await hasReached(ask, sessionKey, idempotencyKey)) return;
      const message = wakeMessage(agent, action, idempotencyKey);
      await ask("chat.send", { sessionKey, message, idempotencyKey }, z.unknown());
    },

    async unroster(work) {
      const { agent, gateway, signal, remark } = work;
      requireReach(work);
      const said = await removeAgent(asking(gateway, signal), gatewayAgentId(agent), {
        gateway: versionOf(gateway.id),
        signal,
      });
      for (const sentence of said) remark(sentence);
    },

    async unsession(work) {
      const { agent, gateway, signal } = work;
      requireReach(work);
      const ask = asking(gateway, signal);
      await endSession(ask, agent.sessionKey, () =>
        resetSession(ask, database, agent, gatewayAgentId(agent)),
      );
    },

    async cleanUp({ agent, gateway, signal }) {
      if (gateway.mainSessionKey === null || gateway.mainSessionKey === agent.sessionKey) return;
      const reference = `muster-cleanup-${agent.id}`;
      await sendUntilReached(asking(gateway, signal), {
        sessionKey: gateway.mainSessionKey,
        message: cleanUpMessage(agent, workspaceOf(agent, gateway), reference),
        reference,
      });
    },

    /** Links are opened for gateways, with or without agents. */
    async resume() {},

    async stop() {
      links.stop();
    },
  };

  const remote: RemoteGateways = {
    linkOf: (gatewayId) => links.get(gatewayId)?.status,
    reconnect: (gatewayId) => links.get(gatewayId)?.retry(),

    changed(gateway) {
      if (gateway.kind !== "openclaw") return;
      if (gateway.url === null) remote.removed(gateway.id);
      else links.of(gateway);
    },

    removed(gatewayId) {
      links.close(gatewayId);
      writers.delete(gatewayId);
    },

    async inventory(gateway) {
      const ask = asking(gateway);
      const agents = await listGatewayAgents(ask);
      const config = await readGatewayConfig(ask, versionOf(gateway.id));
      const found = new Map<string, RosterEntry>();
      await forEachInSlices(agents, (agent) => {
        const entry = config.entries.get(agent.id);
        found.set(agent.id, {
          ...agent,
          name: textOf(entry?.name) ?? agent.name,
          workspace: textOf(entry?.workspace) ?? agent.workspace,
          heartbeat: heartbeatIn(config, agent.id),
        });
      });
      return found;
    },

    wanted(agent, gateway) {
      const id = gatewayAgentId(agent);
      return {
        id,
        name: id === OWN_AGENT ? null : agent.name,
        workspace: id === OWN_AGENT ? null : workspaceOf(agent, gateway),
        heartbeat: agent.heartbeatConfig,
        isDefault: id === OWN_AGENT,
      };
    },

    message(to, text, key) {
      const known = underWay.get(key);
      if (known) return known;
      const sent = send(to, text, key).finally(() => underWay.delete(key));
      underWay.set(key, sent);
      return sent;
    },
  };
  return { driver, remote };
}

const textOf = (value: unknown) => (typeof value === "string" ? value : null);
