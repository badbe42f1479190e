import { isIPv4, isIPv6, SocketAddress } from "node:net";
import { domainToASCII, domainToUnicode } from "node:url";
import { wholeNumber } from "./whole-number.ts";

/** A host, and the port when one is named: what stands behind `://` in an address, and in a request's `Host`. */
export interface Authority {
  /** A name or an IPv4 address in lower case, or an IPv6 address in brackets, in its one canonical form. */
  readonly host: string;
  readonly port: number | undefined;
}

const PARTS = /^(\[[^\]]*\]|[^:[\]]*)(?::([1-9]\d{0,4}))?$/;
/** Names, and the lone dot that some desktop shells use for their own pages. */
const NAME = /^(?:[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?|\.)$/;
const LONGEST_NAME = 253;
/** A last label like this makes browsers read the whole as a number, and send it as an IPv4 address. */
const NUMERIC_END = /(?:^|\.)(?:\d+|0x[0-9a-f]*)\.?$/;
/** A label that stands for others. */
const PUNYCODE = /(?:^|\.)xn--/;
/** What may stand in a name before it is made ASCII: converted as they are, other characters would be decoded or dropped. */
const CONVERTIBLE = /^[\p{L}\p{M}\p{N}._·・-]+$/u;

/**
 * Reads `host` or `host:port`; names in other scripts are made ASCII. Undefined when it is none, or none that a browser
 * would ever send.
 */
export function parseAuthority(text: string): Authority | undefined {
  const [, hostText, portText] = PARTS.exec(text) ?? [];
  if (hostText === undefined) return undefined;
  const host = hostText.startsWith("[") ? ipv6(hostText.slice(1, -1)) : name(hostText);
  if (host === undefined) return undefined;
  const port = wholeNumber(portText);
  return port !== undefined && port > 65_535 ? undefined : { host, port };
}

/** The address when the host is one, without brackets. What stands for an IPv4 address in IPv6 is that address. */
export function addressIn(host: string): string | undefined {
  if (isIPv4(host)) return host;
  if (!host.startsWith("[")) return undefined;
  const address = host.slice(1, -1);
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1] ?? address;
}

const ADDRESS = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(?:[^/?#@]*@)?([^/?#@]*)/i;

/** The scheme and what would be the authority in something that somebody took for an address. */
export function roughly(text: string): { scheme: string | undefined; authority: string } {
  const [, scheme, authority = ""] = ADDRESS.exec(text) ?? [];
  return { scheme: scheme?.toLowerCase(), authority };
}

/** Why a text is no host, and what would be right. */
export function whyNoAuthority(text: string): string {
  if (text.includes("*")) return `${text}: there are no wildcards; name each host, like muster.example.com`;
  const { authority } = roughly(text);
  const meant = authority !== text && parseAuthority(authority) ? authority : "muster.example.com";
  return `${text} is no host, which is a name or an address, with a port or without, like ${meant}`;
}

function ipv6(text: string): string | undefined {
  if (!isIPv6(text) || text.includes("%")) return undefined;
  return `[${new SocketAddress({ address: text, family: "ipv6" }).address}]`;
}

function name(text: string): string | undefined {
  const ascii = toAscii(text);
  if (ascii === undefined || ascii.length > LONGEST_NAME || !NAME.test(ascii)) return undefined;
  return NUMERIC_END.test(ascii) && !isIPv4(ascii) ? undefined : ascii;
}

function toAscii(text: string): string | undefined {
  const lower = text.toLowerCase();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the first of the ASCII characters is one
  if (/^[\u0000-\u007f]*$/.test(lower) && !lower.includes("xn--")) return lower;
  if (!CONVERTIBLE.test(lower)) return undefined;
  // What cannot be converted comes back as an empty text, or as it was in newer versions of Node.
  const ascii = domainToASCII(lower);
  return ascii && !PUNYCODE.test(domainToUnicode(ascii)) ? ascii : undefined;
}
