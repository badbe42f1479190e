import { BlockList, isIP } from "node:net";
import { wholeNumber } from "./whole-number.ts";

/** Addresses that no gateway has unless they are named: this host itself, link-local and cloud metadata, multicast, reserved. */
const SPECIAL = [
  "0.0.0.0/8",
  "169.254.0.0/16",
  "100.100.100.200/32",
  "168.63.129.16/32",
  "192.0.0.192/32",
  "224.0.0.0/4",
  "240.0.0.0/4",
  "::/128",
  "fe80::/10",
  "fd00:ec2::254/128",
  "fd20:ce::254/128",
  "ff00::/8",
] as const;

interface Range {
  address: string;
  family: "ipv4" | "ipv6";
  prefix: number;
}

/** Which hosts gateways may have. */
export class GatewayHosts {
  /** Null: all but the special ones. */
  readonly #names: ReadonlySet<string> | null;
  readonly #ranges = new BlockList();
  /** The special ones that are named. */
  readonly #named = new BlockList();
  readonly #hasRanges: boolean;

  private constructor(names: ReadonlySet<string> | null, ranges: readonly Range[]) {
    this.#names = names;
    this.#hasRanges = ranges.length > 0;
    for (const range of ranges) {
      add(this.#ranges, range);
      if (SPECIAL_RANGES.some((special) => isWithin(range, special))) add(this.#named, range);
    }
  }

  /** Every host but those with a special address. */
  static readonly usual = new GatewayHosts(null, []);

  /**
   * Host names, addresses and ranges like 10.0.0.0/8, separated by commas. Throws Error that says which of them could never
   * be the host of a URL.
   */
  static parse(list: string): GatewayHosts {
    const entries = list
      .split(",")
      .map((entry) => entry.trim())
      .filter((entry) => entry !== "");
    if (entries.length === 0) throw new Error("must name a host, an address or a range like 10.0.0.0/8");
    const names = new Set<string>();
    const ranges: Range[] = [];
    for (const entry of entries) {
      const range = rangeOf(entry);
      if (range) ranges.push(range);
      else names.add(nameOf(entry));
    }
    return new GatewayHosts(names, ranges);
  }

  /**
   * Whether a gateway may be dialled at this address.
   *
   * @param host as its URL has it: a name that resolved to the address, or the address itself
   */
  mayDial(host: string, address: string): boolean {
    const real = unwrapped(address);
    const family = isIP(real) === 6 ? "ipv6" : "ipv4";
    if (SPECIAL_LIST.check(real, family)) return this.#named.check(real, family);
    return this.#names === null || this.#names.has(plainName(host)) || this.#ranges.check(real, family);
  }

  /** Whether a URL may be a gateway's, as far as it shows before its host is resolved. */
  mayBe(url: URL): boolean {
    const host = bare(url.hostname);
    if (isIP(host) !== 0) return this.mayDial(host, host);
    return this.#names === null || this.#hasRanges || this.#names.has(plainName(host));
  }
}

/** The host of a URL without the brackets of an IPv6 address. */
export const bare = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, "$1");

const plainName = (host: string) => host.toLowerCase().replace(/\.$/, "");

/** Throws Error for what could never be the host of a URL. */
function nameOf(entry: string): string {
  const url = `ws://${entry}`;
  const isName = /^[^\s/:@?#[\]\\%*]+$/.test(entry) && URL.canParse(url);
  const name = isName ? plainName(new URL(url).hostname) : "";
  // Numbers in another form than that of an address become one in a URL.
  if (name === "" || isIP(name) !== 0 || !/^[a-z0-9_.-]+$/.test(name))
    throw new Error(
      `${entry} could match no gateway: give host names, addresses and ranges like 10.0.0.0/8, separated by commas, without scheme, port or wildcard`,
    );
  return name;
}

function rangeOf(entry: string): Range | undefined {
  const [given = "", prefix, ...more] = entry.split("/");
  const address = bare(given);
  const version = isIP(address);
  if (version === 0 || more.length > 0 || address.includes("%")) return undefined;
  const bits = version === 4 ? 32 : 128;
  const length = prefix === undefined ? bits : wholeNumber(prefix);
  if (length === undefined || length > bits) return undefined;
  const real = unwrapped(address);
  if (real === address) return { address, family: version === 4 ? "ipv4" : "ipv6", prefix: length };
  return length < 96 ? undefined : { address: real, family: "ipv4", prefix: length - 96 };
}

/** An IPv4 address that is written as an IPv6 one (mapped, compatible, or by NAT64 or 6to4), which reaches the same host. */
function unwrapped(address: string): string {
  if (isIP(address) !== 6) return address;
  const words = wordsOf(address);
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = words;
  const dotted = (high: number, low: number) => [high >> 8, high & 0xff, low >> 8, low & 0xff].join(".");
  if (a === 0x2002) return dotted(b, c);
  if (a === 0x64 && b === 0xff9b && (c | d | e | f) === 0) return dotted(g, h);
  if ((a | b | c | d | e) !== 0) return address;
  if (f === 0xffff) return dotted(g, h);
  return f === 0 && g !== 0 ? dotted(g, h) : address;
}

/** The eight numbers of an IPv6 address. */
function wordsOf(address: string): number[] {
  const [plain = ""] = address.split("%");
  const text = plain.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = "", tail] = text.split("::");
  const words = (part: string) =>
    part === "" ? [] : part.split(":").map((word) => Number.parseInt(word, 16));
  if (tail === undefined) return words(head);
  const [before, after] = [words(head), words(tail)];
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
}

function add(list: BlockList, { address, family, prefix }: Range): void {
  list.addSubnet(address, prefix, family);
}

/** Whether a range lies in another one. */
function isWithin(inner: Range, outer: Range): boolean {
  if (inner.family !== outer.family || inner.prefix < outer.prefix) return false;
  const list = new BlockList();
  add(list, outer);
  return list.check(inner.address, inner.family);
}

const SPECIAL_RANGES = SPECIAL.map((text): Range => {
  const [address = "", prefix] = text.split("/");
  return { address, family: isIP(address) === 6 ? "ipv6" : "ipv4", prefix: wholeNumber(prefix) ?? 0 };
});
const SPECIAL_LIST = new BlockList();
for (const range of SPECIAL_RANGES) add(SPECIAL_LIST, range);
