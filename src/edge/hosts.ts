import { lookup } from "node:dns/promises";
import { isIP, isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import { type Authority, addressIn, parseAuthority } from "../authority.ts";

/** A changed address of this machine counts after this at the latest. */
const ADDRESSES_GOOD_MS = 1_000;

/**
 * The names and addresses under which a browser may reach this server. A page of a stranger can give its own name our
 * address (DNS rebinding), and is then of our origin for the browser; the name stays in `Host`, and is none of these.
 *
 * A port in `Host` is the one that the browser connected to: that of a tunnel or a proxy as often as ours. No page can
 * choose it without connecting there, so it does not matter, but where MUSTER_ALLOWED_HOSTS names one.
 */
export class OwnHosts {
  readonly #names: ReadonlySet<string>;
  readonly #addresses: ReadonlySet<string>;
  readonly #allowed: readonly Authority[];
  /** Those of this machine, when it listens on all of them. */
  readonly #local: LocalAddresses | undefined;

  private constructor(names: Set<string>, addresses: Set<string>, allowed: readonly Authority[]) {
    this.#names = names;
    this.#addresses = addresses;
    this.#allowed = allowed;
    this.#local = addresses.has("0.0.0.0") || addresses.has("::") ? new LocalAddresses() : undefined;
  }

  /** For a server that listens on `host`, a name or an address. */
  static async of(
    host: string,
    { publicHost, allowed }: { publicHost: string | undefined; allowed: readonly Authority[] },
  ): Promise<OwnHosts> {
    const names = new Set(publicHost === undefined ? [] : [undotted(publicHost)]);
    const bound = parseAuthority(host.includes(":") ? `[${host}]` : host);
    if (bound === undefined) return new OwnHosts(names, new Set(), allowed);
    const address = addressIn(bound.host);
    if (address !== undefined) return new OwnHosts(names, new Set([address]), allowed);
    // What has no address now has none to listen on either, which is told there.
    const found = await lookup(host, { all: true }).catch(() => []);
    names.add(undotted(bound.host));
    return new OwnHosts(names, new Set(found.map((each) => each.address)), allowed);
  }

  has({ host, port }: Authority): boolean {
    const name = undotted(host);
    // Browsers look these up in no name server.
    if (name === "localhost" || name.endsWith(".localhost") || this.#names.has(name)) return true;
    if (this.#allowed.some((each) => undotted(each.host) === name && fits(each.port, port))) return true;
    const address = addressIn(name);
    if (address === undefined) return false;
    if (this.#addresses.has(address) || this.#local?.has(address)) return true;
    return isLoopback(address) && [...this.#addresses].some(isLoopback);
  }
}

class LocalAddresses {
  #known = new Set<string>();
  #readAt = Number.NEGATIVE_INFINITY;

  has(address: string): boolean {
    if (isLoopback(address) || address === "::1") return true;
    if (!this.#known.has(address) && performance.now() - this.#readAt >= ADDRESSES_GOOD_MS) this.#read();
    return this.#known.has(address);
  }

  #read(): void {
    this.#readAt = performance.now();
    this.#known = new Set(
      Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address)),
    );
  }
}

/** All of 127.0.0.0/8 leads to this machine. */
const isLoopback = (address: string) => isIPv4(address) && address.startsWith("127.");

/** A browser leaves a port away that is its scheme's own. */
const fits = (allowed: number | undefined, given: number | undefined) =>
  allowed === undefined || allowed === given || (given === undefined && (allowed === 80 || allowed === 443));

/** A name with the dot of the root at its end is the same name. */
const undotted = (host: string) => (host.length > 1 && isIP(host) === 0 ? host.replace(/\.$/, "") : host);
