import { isIP } from "node:net";
import type { Networks } from "../networks.ts";

/** An address in a header may have brackets and a port. */
const WITH_PORT = /^(?:\[([^\]]+)\](?::\d+)?|([\d.]+):\d+)$/;
/** Of an IPv6 address: whoever has one has all that begin alike. */
const WORDS_OF_A_NETWORK = 4;

/** Tells whom a connection is from, so that everybody gets a share of what is bounded. */
export class Peers {
  readonly #proxies: Networks;

  /** @param proxies those whose `X-Forwarded-For` is believed */
  constructor(proxies: Networks) {
    this.#proxies = proxies;
  }

  /**
   * The address that a connection is counted under, or the /64 of an IPv6 one. Behind a trusted proxy it is the last entry of
   * `X-Forwarded-For` that is no trusted proxy's; an entry that is no address ends the search.
   */
  keyOf(remote: string, forwardedFor: string): string {
    let address = plain(remote);
    const hops = forwardedFor.split(",");
    while (hops.length > 0 && this.#proxies.has(address)) {
      const hop = plain(hops.pop() ?? "");
      if (isIP(hop) === 0) break;
      address = hop;
    }
    return isIP(address) === 6 ? networkOf(address) : address;
  }
}

/** Without brackets and port; an IPv4 address that is written as an IPv6 one (a socket for both kinds has such) as itself. */
function plain(text: string): string {
  const [, bracketed, dotted] = WITH_PORT.exec(text.trim()) ?? [];
  const address = bracketed ?? dotted ?? text.trim();
  if (isIP(address) !== 6) return address;
  const [high = 0, low = 0] = wordsOf(address).slice(6);
  const isMapped = wordsOf(address).slice(0, 6).join() === "0,0,0,0,0,65535";
  return isMapped ? [high >> 8, high & 0xff, low >> 8, low & 0xff].join(".") : address;
}

function networkOf(address: string): string {
  const words = wordsOf(address).slice(0, WORDS_OF_A_NETWORK);
  return `${words.map((word) => word.toString(16)).join(":")}::/64`;
}

/** The eight numbers of an IPv6 address. */
function wordsOf(address: string): number[] {
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const before = partOf(head);
  const after = partOf(tail ?? "");
  const between = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return [...before, ...between, ...after];
}

function partOf(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((word) => {
    if (!word.includes(".")) return [Number.parseInt(word, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = word.split(".").map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}
