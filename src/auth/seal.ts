import { close, open } from "./box.ts";
import type { Keys } from "./keys.ts";

/** Where a sealed value stands. It opens nowhere else: not in another row, column, table or organization. */
export interface SealedPlace {
  table: string;
  column: string;
  /** The row's key. */
  row: string;
  organizationId: string;
}

/** Keeps secrets that must be read again (gateway tokens, tokens on their way to a workspace) unreadable at rest. */
export interface Seal {
  seal(secret: string, place: SealedPlace): Buffer;
  /** Undefined when it was sealed with another key or for another place, or was changed. */
  open(sealed: Uint8Array, place: SealedPlace): string | undefined;
  /** The value as `seal` would seal it today; `current` when it is so already, undefined when it cannot be opened. */
  renew(sealed: Uint8Array, place: SealedPlace): Buffer | "current" | undefined;
}

/** The first byte. What was sealed before there were versions has none, and begins with any. */
const VERSION = 2;
const NOTHING = new Uint8Array();

/**
 * A seal with AES-256-GCM. Seals of before there were versions, which know no place, are opened too.
 *
 * @param keys what is sealed with
 * @param old earlier keys, for opening only
 */
export function createSeal(keys: Keys, old?: Keys): Seal {
  const all = old === undefined ? [keys] : [keys, old];
  const seal = (secret: Uint8Array, place: SealedPlace) =>
    Buffer.concat([Uint8Array.of(VERSION), close(keys.seal, secret, boundTo(place))]);
  const openCurrent = (sealed: Uint8Array, place: SealedPlace) =>
    sealed[0] === VERSION ? open(keys.seal, sealed.subarray(1), boundTo(place)) : undefined;
  const openOlder = (sealed: Uint8Array, place: SealedPlace) => {
    for (const key of all) {
      const secret =
        (sealed[0] === VERSION ? open(key.seal, sealed.subarray(1), boundTo(place)) : undefined) ??
        open(key.earlierSeal, sealed, NOTHING);
      if (secret !== undefined) return secret;
    }
    return undefined;
  };
  return {
    seal: (secret, place) => seal(Buffer.from(secret), place),
    open: (sealed, place) => (openCurrent(sealed, place) ?? openOlder(sealed, place))?.toString(),
    renew(sealed, place) {
      if (openCurrent(sealed, place) !== undefined) return "current";
      const secret = openOlder(sealed, place);
      return secret && seal(secret, place);
    },
  };
}

/** One text for one place: no two places have the same. */
function boundTo({ table, column, row, organizationId }: SealedPlace): Uint8Array {
  return Buffer.from(JSON.stringify([table, column, row, organizationId]));
}
