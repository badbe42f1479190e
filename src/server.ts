import { randomUUID } from "node:crypto";
import { STATUSES, type Status } from "../machines/model.ts";
import { Actors } from "./actors/actors.ts";
import { Attachments } from "./actors/attachments.ts";
import { BeatLog } from "./actors/beat-log.ts";
import { Beats } from "./actors/beats.ts";
import { Checkpoint } from "./actors/checkpoint.ts";
import { Completions } from "./actors/completions.ts";
import { briefOf, type Drivers, Lifecycle } from "./actors/lifecycle.ts";
import { loadRegistry } from "./actors/load.ts";
import { Newcomers } from "./actors/newcomers.ts";
import { Pacer } from "./actors/pacer.ts";
import { Recovery } from "./actors/recovery.ts";
import { type LifeSettings, Registry } from "./actors/registry.ts";
import { startSweep } from "./actors/sweep.ts";
import { rotateToken } from "./actors/token-rotation.ts";
import type { Committal } from "./actors/transitions.ts";
import { Cursors } from "./auth/cursors.ts";
import { deriveKeys } from "./auth/keys.ts";
import { createSeal } from "./auth/seal.ts";
import { type Clock, systemClock } from "./clock.ts";
import { createConsequences } from "./commands/consequences.ts";
import { Deliveries } from "./commands/deliveries.ts";
import { createGatewayReports } from "./commands/gateway-reports.ts";
import { workspacesRoot } from "./commands/gateways.ts";
import type { Services } from "./commands/services.ts";
import type { Config } from "./config.ts";
import { inspectDataFolder } from "./data-folder.ts";
import { descriptorLimit } from "./edge/descriptors.ts";
import { Expiries } from "./edge/expiries.ts";
import { createFailures } from "./edge/failures.ts";
import { type Listener, listen } from "./edge/listener.ts";
import { watchMemberships } from "./edge/membership-watch.ts";
import { metricsAccess, ownPortAccess } from "./edge/metrics-access.ts";
import { listenForMetrics } from "./edge/metrics-listener.ts";
import type { BrowserRules } from "./edge/origins.ts";
import { createRoutes } from "./edge/routes.ts";
import { Session } from "./edge/session.ts";
import { Sessions } from "./edge/sessions.ts";
import { GatewayHosts } from "./gateway-hosts.ts";
import { gatewayBrief } from "./gateways/briefs.ts";
import { createLocalDriver } from "./gateways/local/driver.ts";
import { createOpenClaw } from "./gateways/openclaw/openclaw.ts";
import { TemplateRenderer } from "./gateways/templates/renderer.ts";
import type { RenderTemplate } from "./gateways/templates/workspace.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { Hub } from "./live/hub.ts";
import type { Log } from "./log.ts";
import { createMetrics } from "./metrics.ts";
import { Networks } from "./networks.ts";
import { IDLE_TIMEOUT_S, LIMITS } from "./protocol/limits.ts";
import { startResealing } from "./resealing.ts";
import { ownSecretKey } from "./secret-key.ts";
import { Shutdown } from "./shutdown.ts";
import { readResting } from "./store/agents.ts";
import { type AssignmentRow, readGatewaysOfKind, readProvisioned } from "./store/assignments.ts";
import { createCommitter } from "./store/committer.ts";
import { closeDatabase, isReachable, openDatabase } from "./store/database.ts";
import { keepEmbedded } from "./store/kept-postgres.ts";
import { createLookups } from "./store/lookups.ts";
import { migrate } from "./store/migrations.ts";
import { readSalt } from "./store/settings.ts";

/** Bytes that may wait for one socket to read. */
const MOST_BUFFERED = 8 * 1_048_576;

/** Postgres may first shut down fast, and then, being asked again, at once, in milliseconds. */
const POSTGRES_STOP_MS = 35_000;

/** A running server. */
export interface Server {
  /** http://host:port, or the configured public URL. */
  readonly url: string;
  readonly services: Services;
  /** Stops in the reverse order of the start; what has been acknowledged stays. Safe to call again; never rejects. */
  stop(): Promise<void>;
}

/** What tests put in the place of the real thing. */
export interface Replacements {
  clock?: Clock;
  /** Makes the drivers, given the one that would have been used. */
  drivers?: (usual: Drivers) => Drivers;
}

/**
 * Builds the parts in order and starts to listen. Rejects, with everything taken down again, when a part cannot start.
 */
export async function startServer(
  config: Config,
  log: Log,
  replacements: Replacements = {},
): Promise<Server> {
  const clock = replacements.clock ?? systemClock;
  const shutdown = new Shutdown(log);
  try {
    return await build(config, log, clock, replacements, shutdown);
  } catch (error) {
    await shutdown.run();
    throw error;
  }
}

async function build(
  config: Config,
  log: Log,
  clock: Clock,
  replacements: Replacements,
  shutdown: Shutdown,
): Promise<Server> {
  const metrics = createMetrics();
  await inspectDataFolder(config.dataDir, log);
  const databaseUrl = config.databaseUrl ?? (await startOwnPostgres(config, log, shutdown));
  const database = openDatabase(databaseUrl, { onNotice: (message) => log.debug(message) });
  shutdown.add("database", () => closeDatabase(database));
  const applied = await migrate(database);
  if (applied.length > 0) log.info({ applied }, "the database was brought up to date");
  const { activityRetentionMs } = config;
  shutdown.add("housekeeping", await startHousekeeping({ database, clock, log, activityRetentionMs }));
  const salt = await readSalt(database);
  const keys = await deriveKeys(config.secretKey ?? (await ownSecretKey(config.dataDir)), salt);
  const { secretKeyOld } = config;
  const hasOldKey = secretKeyOld !== undefined;
  const seal = createSeal(keys, hasOldKey ? await deriveKeys(secretKeyOld, salt) : undefined);
  shutdown.add("resealing", startResealing({ database, seal, keys, hasOldKey, log }));

  const settings: LifeSettings = {
    offlineAfterMs: config.offlineAfterMs,
    checkinDeadlineMs: config.checkinDeadlineMs,
    recordEveryBeat: config.heartbeatEvents === "every",
  };
  const registry = new Registry(settings);
  metrics.agentsFrom(() => countByStatus(registry));

  const checkpoint = new Checkpoint({
    registry,
    database,
    clock,
    alone: (work) => committer.alone(work),
    log,
  });
  const beats = new Beats({
    registry,
    checkpoint,
    wake: () => committer.beatsWait(),
    onCommitted: ({ indexes, reported, events }) => {
      hub.seen(indexes);
      hub.recorded(events);
      for (const index of reported) touch(index);
    },
    log: settings.recordEveryBeat ? new BeatLog() : undefined,
    isTold: () => hub.isWatched,
  });
  const committer = createCommitter({
    database,
    intervalMs: config.commitIntervalMs,
    beats,
    metrics,
    log,
  });
  shutdown.add("committer", () => committer.stop());
  shutdown.add("checkpoint", () => checkpoint.stop());
  await loadRegistry(database, registry, checkpoint);

  let listener: Listener | undefined;
  const hub = new Hub({
    database,
    clock,
    log,
    agents: {
      linkOf: (gatewayId) => gateways.linkOf(gatewayId),
      presenceOf: (id) => registry.presenceOf(id),
      seenOf: (index) => {
        const id = registry.idOf(index);
        if (id === undefined) return undefined;
        return { id, at: registry.columns.storedSeen[index] ?? 0, shown: registry.belongingOf(index) };
      },
    },
    publish: (channel, frame) => listener?.publish(channel, frame),
    history: config.history,
  });
  shutdown.add("live views", () => hub.stop());
  const touch = (index: number) => {
    const id = registry.idOf(index);
    if (id !== undefined) hub.touched(id, registry.belongingOf(index));
  };

  const lookups = createLookups(database);
  const completions = new Completions();
  const pacer = new Pacer(registry, clock, config.maxHeartbeatsPerSecond, (index, everyMs) =>
    attachments.channelOf(index)?.pace(everyMs),
  );
  const attachments = new Attachments(registry, clock, pacer, (index) => {
    touch(index);
    const id = registry.idOf(index);
    if (id !== undefined) deliveries.channelChanged(id);
  });
  const deliveries = new Deliveries({ database, lookups, registry, attachments, hub, clock, log });
  shutdown.add("command deliveries", () => deliveries.stop());
  const life = { registry, committer, settings, seal, onCommitted: (done: Committal) => follow(done) };
  const newcomers = new Newcomers(life);
  const actors = new Actors({
    ...life,
    checkpoint,
    log,
    reload: (agentId) => readResting(database, agentId),
  });
  metrics.backlogFrom(() => ({
    heartbeats: beats.waiting,
    agents: actors.busy,
    changes: committer.waiting,
    journal: checkpoint.waiting,
  }));

  const usual: Drivers = {};
  const serverUrl = () =>
    config.publicUrl?.href ?? `http://${urlHost(config.host)}:${listener?.port ?? config.port}`;
  const templates = new TemplateRenderer(log);
  shutdown.add("templates", () => templates.stop());
  const renderTemplate: RenderTemplate = (request) => templates.render(request);
  if (config.localGateway)
    usual.local = createLocalDriver({ root: workspacesRoot(config), serverUrl, renderTemplate, log, clock });
  const recovery = new Recovery({
    registry,
    actors,
    clock,
    // A gateway without a link is on this machine.
    canReach: (gatewayId) => (gateways.linkOf(gatewayId)?.state ?? "ready") === "ready",
  });
  const { driver: openclaw, remote: gateways } = createOpenClaw({
    database,
    seal,
    clock,
    log,
    serverUrl,
    hosts: config.gatewayHosts ?? GatewayHosts.usual,
    renderTemplate,
    reports: createGatewayReports({ database, registry, actors, beats, hub, clock, log }, recovery),
  });
  usual.openclaw = openclaw;
  const drivers = replacements.drivers?.(usual) ?? usual;
  const lifecycle = new Lifecycle({ registry, actors, database, drivers, seal, clock, log });

  const sessions = new Sessions();
  const expiries = new Expiries(clock);
  shutdown.add("expiry of tokens", () => expiries.stop());
  const services: Services = {
    config,
    clock,
    log,
    seal,
    cursors: new Cursors(keys.cursors),
    database,
    lookups,
    registry,
    actors,
    newcomers,
    beats,
    attachments,
    pacer,
    completions,
    hub,
    deliveries,
    gateways,
    rotateToken: (index, at) => rotateToken({ registry, committer }, index, at),
    endSessions: (of) => sessions.end(of),
  };
  const follow = createConsequences(services, lifecycle);

  const parts = {
    services,
    metrics,
    node: randomUUID(),
    failed: createFailures({ metrics, log }),
    expiries,
    onClosed: (session: Session) => {
      sessions.remove(session);
      metrics.sessions.set(sessions.size);
    },
  };
  let draining = false;
  const isReady = async () => {
    if (draining) return "The server is stopping.";
    // A server that nobody asks anything has not noticed yet.
    return committer.available && (await isReachable(database)) ? null : "Postgres is away.";
  };
  const browsers: BrowserRules = {
    host: config.host,
    allowedOrigins: config.allowedOrigins,
    allowedHosts: config.allowedHosts,
    publicOrigin: config.publicUrl?.origin,
  };
  listener = await listen({
    ...browsers,
    port: config.port,
    maxFrameBytes: LIMITS.max_frame_bytes,
    maxBufferedBytes: MOST_BUFFERED,
    idleTimeoutS: IDLE_TIMEOUT_S,
    descriptorLimit: descriptorLimit(),
    strangersBehind: config.trustedProxies ?? new Networks([]),
    log,
    routes: createRoutes({
      services,
      metrics,
      mayScrape: metricsAccess(config),
      isReady,
    }),
    open(transport, { bearer }) {
      const session = new Session(transport, bearer, parts);
      sessions.add(session);
      metrics.sessions.set(sessions.size);
      return session;
    },
  });
  shutdown.add("listener", () => listener?.close());
  if (config.metricsPort !== undefined) {
    const access = ownPortAccess(config);
    const own = await listenForMetrics({
      ...browsers,
      port: config.metricsPort,
      metrics,
      access,
      isReady,
      log,
    });
    shutdown.add("metrics listener", () => own.close());
    log.info({ port: own.port }, "metrics have a port of their own");
  }
  shutdown.add("sessions", () => {
    draining = true;
    listener?.stopAccepting();
    return sessions.drain();
  });
  shutdown.add("waiting requests", () => completions.stop());
  // While sockets are still served, so that agents that end can say so.
  for (const driver of new Set([openclaw, ...Object.values(drivers)]))
    shutdown.add("gateways", () => driver.stop());
  shutdown.add("lifecycle", () => lifecycle.stop());

  registry.listenFrom(clock.now());
  shutdown.add("pacer", pacer.start());
  shutdown.add("membership watch", watchMemberships({ sessions, database, clock, log }));
  shutdown.add("recovery", () => recovery.stop());
  shutdown.add("sweep", startSweep({ registry, actors, clock, disconnectGraceMs: config.disconnectGraceMs }));
  for (const gateway of await readGatewaysOfKind(database, "openclaw"))
    gateways.changed({ ...gatewayBrief(gateway, seal), kind: gateway.kind });
  lifecycle.resume();
  await resumeDrivers(drivers, database, seal, log);
  return { url: serverUrl(), services, stop: () => shutdown.run() };
}

async function startOwnPostgres(config: Config, log: Log, shutdown: Shutdown): Promise<string> {
  const postgres = await keepEmbedded({ dataDir: config.dataDir, log });
  shutdown.add("Postgres", () => postgres.stop(), POSTGRES_STOP_MS);
  return postgres.url;
}

/** What runs only as long as the server does comes back. */
async function resumeDrivers(
  drivers: Drivers,
  database: Services["database"],
  seal: Services["seal"],
  log: Log,
): Promise<void> {
  for (const [kind, driver] of Object.entries(drivers)) {
    const rows: AssignmentRow[] = await readProvisioned(database, kind);
    driver
      .resume(rows.map((row) => briefOf(row, seal)))
      .catch((error) => log.error({ err: error, kind }, "agents could not be brought back"));
  }
}

function countByStatus(registry: Registry): Record<Status, number> {
  const counts = STATUSES.map(() => 0);
  const { status } = registry.columns;
  for (let index = 0; index < registry.extent; index++)
    if (registry.idOf(index) !== undefined)
      counts[status[index] ?? 0] = (counts[status[index] ?? 0] ?? 0) + 1;
  return Object.fromEntries(STATUSES.map((name, position) => [name, counts[position] ?? 0])) as Record<
    Status,
    number
  >;
}

/** A host as a URL has it: the address that listens everywhere is reached on this machine. */
function urlHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}
