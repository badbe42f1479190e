import { type Authority, parseAuthority, roughly } from "./authority.ts";

const FORM = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)$/i;
const DEFAULT_PORTS = new Map([
  ["http", 80],
  ["https", 443],
  ["ws", 80],
  ["wss", 443],
]);
/** What lies under these has no origin of its own: browsers send `null`. */
const WITHOUT_ORIGIN = new Set(["about", "blob", "data", "file", "filesystem", "javascript"]);

/**
 * Where a web page comes from, as browsers write it into the header `Origin`: scheme, host and port (RFC 6454). There are
 * only real ones: `null`, which stands for any page without an origin, is none.
 */
export class Origin {
  readonly scheme: string;
  readonly authority: Authority;
  /** The one way to write it: two origins are the same when these are. */
  readonly #text: string;

  private constructor(scheme: string, { host, port }: Authority) {
    const named = port === DEFAULT_PORTS.get(scheme) ? undefined : port;
    this.scheme = scheme;
    this.authority = { host, port: named };
    this.#text = `${scheme}://${host}${named === undefined ? "" : `:${named}`}`;
  }

  /** Undefined when the text is not an origin and nothing else. */
  static parse(text: string): Origin | undefined {
    const [, scheme, rest] = FORM.exec(text) ?? [];
    return scheme === undefined || rest === undefined ? undefined : Origin.of(scheme.toLowerCase(), rest);
  }

  /** That of the pages at a host, as `Host` names it. */
  static of(scheme: string, host: string): Origin | undefined {
    if (WITHOUT_ORIGIN.has(scheme)) return undefined;
    const authority = parseAuthority(host);
    return authority && new Origin(scheme, authority);
  }

  is(other: Origin | undefined): boolean {
    return other !== undefined && other.#text === this.#text;
  }

  toString(): string {
    return this.#text;
  }
}

/** Why a text is no origin that a page can have, and what would be right. */
export function whyNoOrigin(text: string): string {
  if (/^null$/i.test(text))
    return "null is what every sandboxed page and every file sends: it cannot be allowed; name origins";
  if (text.includes("*"))
    return `${text}: there are no wildcards; name each origin, like https://dash.example.com`;
  const { scheme = "https", authority } = roughly(text);
  if (WITHOUT_ORIGIN.has(scheme))
    return `${text}: pages under ${scheme}: have no origin that could be allowed`;
  const meant = Origin.of(scheme, authority);
  return `${text} is no origin, which is scheme://host or scheme://host:port, like ${meant ?? "https://dash.example.com"}`;
}
