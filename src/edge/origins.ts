import { type Authority, parseAuthority } from "../authority.ts";
import { Origin } from "../origin.ts";
import { OwnHosts } from "./hosts.ts";

/** How much of a header is said back. */
const MOST_SAID = 200;

/** Which browsers are served. Programs, which are not led by other people's pages, are asked for neither host nor origin. */
export interface BrowserRules {
  /** What the server listens on. */
  host: string;
  allowedHosts: readonly Authority[];
  allowedOrigins: readonly Origin[];
  publicOrigin: Origin | undefined;
}

/** The headers of a request, by their names in lower case. */
interface Headers {
  get(name: string): string | undefined;
}

/** Refuses what web pages of others have browsers ask. */
export class BrowserCheck {
  readonly #hosts: OwnHosts;
  readonly #rules: BrowserRules;

  private constructor(hosts: OwnHosts, rules: BrowserRules) {
    this.#hosts = hosts;
    this.#rules = rules;
  }

  static async of(rules: BrowserRules): Promise<BrowserCheck> {
    const { host, publicOrigin, allowedHosts: allowed } = rules;
    return new BrowserCheck(
      await OwnHosts.of(host, { publicHost: publicOrigin?.authority.host, allowed }),
      rules,
    );
  }

  /** For every request: a browser's must name this server as its host. Undefined: it may come in. */
  whyNotHost(headers: Headers): string | undefined {
    const origin = headers.get("origin");
    if (origin === undefined && headers.get("sec-fetch-site") === undefined) return undefined;
    const { publicOrigin } = this.#rules;
    // A proxy may not have handed on the host, and no page but our own has this origin.
    if (publicOrigin !== undefined && origin !== undefined && publicOrigin.is(Origin.parse(origin)))
      return undefined;
    const host = headers.get("host") ?? "";
    const authority = parseAuthority(host);
    if (authority !== undefined && this.#hosts.has(authority)) return undefined;
    return `the host ${quoted(host)} is not this server's; set MUSTER_PUBLIC_URL, or add the host to MUSTER_ALLOWED_HOSTS`;
  }

  /** For a socket: its page must be our own or an allowed one. To be asked when the host is ours. */
  whyNotOrigin(headers: Headers): string | undefined {
    const given = headers.get("origin");
    if (given === undefined) return undefined;
    const origin = Origin.parse(given);
    if (origin === undefined)
      return `the origin ${quoted(given)} is not that of any page that could be allowed`;
    const { allowedOrigins, publicOrigin } = this.#rules;
    if (origin.is(publicOrigin) || allowedOrigins.some((allowed) => allowed.is(origin))) return undefined;
    const host = headers.get("host") ?? "";
    // Whether the page came by TLS is known only to a proxy in between.
    if (["http", "https"].some((scheme) => origin.is(Origin.of(scheme, host)))) return undefined;
    return `the origin ${quoted(given)} is not allowed; add it to MUSTER_ALLOWED_ORIGINS`;
  }
}

const quoted = (text: string) => JSON.stringify(text.slice(0, MOST_SAID));
