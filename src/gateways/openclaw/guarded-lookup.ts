import { lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import type { GatewayHosts } from "../../gateway-hosts.ts";

/** Thrown where a host may not be dialled. */
export class ForbiddenHost extends Error {
  override name = "ForbiddenHost";
}

/**
 * Resolves a host to the addresses that may be dialled: the connection is made to these and is not resolved again, so a
 * name cannot mean one host when it is looked at and another when it is dialled.
 */
export function guardedLookup(hosts: GatewayHosts): LookupFunction {
  return (host, options, done) => {
    lookup(host, { ...options, all: true }, (error, found) => {
      if (error) return done(error, "");
      const [first, ...others] = found.filter(({ address }) => hosts.mayDial(host, address));
      if (!first)
        return done(
          new ForbiddenHost(`${host} resolves to ${found.map(({ address }) => address).join(", ")} only`),
          "",
        );
      if (options.all) done(null, [first, ...others]);
      else done(null, first.address, first.family);
    });
  };
}
