import type { Seal } from "../../auth/seal.ts";
import { deviceKeyPlace } from "../../auth/sealed-places.ts";
import type { Cancel, Clock } from "../../clock.ts";
import { GatewayHosts } from "../../gateway-hosts.ts";
import { Limiter } from "../../limiter.ts";
import type { Log } from "../../log.ts";
import type { Database } from "../../store/database.ts";
import { keepDeviceKey, replaceDeviceKey } from "../../store/gateway-links.ts";
import { type GatewayBrief, GatewayError } from "../driver.ts";
import { type Device, deviceOf, mintDeviceKey } from "./device.ts";
import { HeldBytes } from "./held-bytes.ts";
import { Link, type LinkEvents, type LinkParts } from "./link.ts";

/** Gateways of one organization that are dialled at the same time: what does not answer holds up no other organization's. */
const DIALS_AT_ONCE = 32;
const SILENCE_CHECK_MS = 5_000;

/** The links to all gateways, one each. */
export class Links {
  readonly #links = new Map<string, Link>();
  readonly #parts: LinkParts;
  readonly #cancelCheck: Cancel;
  /** Those under way, and those that wait for their turn. */
  #stopped = false;

  constructor(parts: {
    database: Database;
    seal: Seal;
    clock: Clock;
    log: Log;
    events: LinkEvents;
    hosts?: GatewayHosts;
    random?: () => number;
  }) {
    const { database, seal, clock, log, events, hosts = GatewayHosts.usual, random = Math.random } = parts;
    const dials = new Limiter();
    this.#parts = {
      clock,
      log,
      events,
      random,
      hosts,
      held: new HeldBytes(),
      device: (gateway) => deviceFor({ database, seal, log }, gateway),
      inTurn: (organizationId, dial) => dials.run(organizationId, DIALS_AT_ONCE, dial),
    };
    this.#cancelCheck = clock.every(SILENCE_CHECK_MS, () => {
      const now = clock.now();
      for (const link of this.#links.values()) link.checkSilence(now);
    });
  }

  /** The gateway's link, opened or brought up to date with its settings. Throws GatewayError where it has no URL. */
  of(gateway: GatewayBrief): Link {
    if (this.#stopped) throw new GatewayError("The server is stopping", { transient: true });
    const { url } = gateway;
    if (url === null) throw new GatewayError(`The gateway ${gateway.name} has no url`, { transient: false });
    const known = this.#links.get(gateway.id);
    if (known) {
      known.configure({ ...gateway, url });
      return known;
    }
    const link = new Link({ ...gateway, url }, this.#parts);
    this.#links.set(gateway.id, link);
    this.#parts.events.status(link.status);
    return link;
  }

  get(gatewayId: string): Link | undefined {
    return this.#links.get(gatewayId);
  }

  /** Goes on at once, unless it is ready or under way. */
  reconnect(gatewayId: string): void {
    this.#links.get(gatewayId)?.retry();
  }

  close(gatewayId: string): void {
    this.#links.get(gatewayId)?.close();
    this.#links.delete(gatewayId);
  }

  /** Closes all. */
  stop(): void {
    this.#stopped = true;
    this.#cancelCheck();
    for (const gatewayId of [...this.#links.keys()]) this.close(gatewayId);
  }
}

/** Who we are to a gateway: the same in every connection. One that was sealed with another key is lost. */
async function deviceFor(
  { database, seal, log }: { database: Database; seal: Seal; log: Log },
  gateway: GatewayBrief,
): Promise<Device> {
  const fresh = mintDeviceKey();
  const place = deviceKeyPlace(gateway);
  const sealed = await keepDeviceKey(database, gateway, seal.seal(fresh, place));
  const kept = seal.open(sealed, place);
  if (kept !== undefined) return deviceOf(kept);
  log.warn(
    { gateway: gateway.name },
    "the identity that this gateway knows us by was sealed with another secret key: it gets a new one, and may ask for approval",
  );
  await replaceDeviceKey(database, gateway.id, seal.seal(fresh, place));
  return deviceOf(fresh);
}
