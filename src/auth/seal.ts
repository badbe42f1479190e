import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";

/** Keeps secrets that must be read again (gateway tokens, tokens on their way to a workspace) unreadable at rest. */
export interface Seal {
  seal(secret: string): Buffer;
  /** Undefined when it was sealed with another key or was changed. */
  open(sealed: Uint8Array): string | undefined;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** A seal with AES-256-GCM under a key derived from `secretKey`. */
export function createSeal(secretKey: string): Seal {
  const key = createHash("sha256").update("muster seal v1\0").update(secretKey).digest();
  return {
    seal(secret) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      const body = Buffer.concat([cipher.update(secret, "utf8"), cipher.final()]);
      return Buffer.concat([nonce, cipher.getAuthTag(), body]);
    },
    open(sealed) {
      try {
        const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, NONCE_BYTES));
        decipher.setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
        return (
          decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES), undefined, "utf8") +
          decipher.final("utf8")
        );
      } catch {
        return undefined;
      }
    },
  };
}
