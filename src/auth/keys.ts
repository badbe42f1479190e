import { createHash, hkdfSync, scrypt } from "node:crypto";

/** Bytes of the salt. */
export const SALT_BYTES = 16;
const KEY_BYTES = 32;
/** 32 MiB, and some 100 ms in a thread beside the loop, once at a start: a secret key may be one that a person thought of. */
const COST = { N: 2 ** 15, r: 8, p: 1, maxmem: 2 ** 26 };

/** What the server's secret key comes to: a key for each use. */
export interface Keys {
  seal: Uint8Array;
  cursors: Uint8Array;
  /** Seals of before there was a salt. */
  earlierSeal: Uint8Array;
  /** Tells keys apart, and says nothing of them. */
  fingerprint: string;
}

/** Derives the keys for all uses from a secret key, by scrypt. */
export async function deriveKeys(secretKey: string, salt: Uint8Array): Promise<Keys> {
  const main = await new Promise<Uint8Array>((resolve, reject) =>
    scrypt(secretKey, salt, KEY_BYTES, COST, (error, key) => (error ? reject(error) : resolve(key))),
  );
  const keyFor = (use: string) => Buffer.from(hkdfSync("sha256", main, "", `muster ${use}`, KEY_BYTES));
  return {
    seal: keyFor("seal"),
    cursors: keyFor("cursors"),
    earlierSeal: createHash("sha256").update("muster seal v1\0").update(secretKey).digest(),
    fingerprint: keyFor("fingerprint").toString("base64url"),
  };
}
