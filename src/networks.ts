import { BlockList, isIP } from "node:net";
import { wholeNumber } from "./whole-number.ts";

/** Addresses, by ones of their own and by ranges like 10.0.0.0/8. */
export class Networks {
  readonly #list = new BlockList();

  /** Throws Error that says which entry is neither an address nor a range. */
  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const [address = "", prefix, ...more] = entry.split("/");
      const version = isIP(address);
      const bits = version === 4 ? 32 : 128;
      const length = prefix === undefined ? bits : wholeNumber(prefix);
      const isRange = length !== undefined && length <= bits && more.length === 0;
      if (version === 0 || address.includes("%") || !isRange)
        throw new Error(`${entry} is neither an address nor a range like 10.0.0.0/8`);
      this.#list.addSubnet(address, length, version === 4 ? "ipv4" : "ipv6");
    }
  }

  has(address: string): boolean {
    const version = isIP(address);
    return version !== 0 && this.#list.check(address, version === 4 ? "ipv4" : "ipv6");
  }
}
