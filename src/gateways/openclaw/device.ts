import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from "node:crypto";

/** Who we are to a gateway: it knows us again by the key, also after a restart. */
export interface Device {
  /** SHA-256 of the public key, hexadecimal. */
  id: string;
  /** Base64url. */
  publicKey: string;
  key: KeyObject;
}

const RAW_KEY_BYTES = 32;

/** A fresh private key as PKCS #8 in base64. */
export function mintDeviceKey(): string {
  const { privateKey } = generateKeyPairSync("ed25519");
  return privateKey.export({ format: "der", type: "pkcs8" }).toString("base64");
}

export function deviceOf(pkcs8: string): Device {
  const key = createPrivateKey({ key: Buffer.from(pkcs8, "base64"), format: "der", type: "pkcs8" });
  const raw = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-RAW_KEY_BYTES);
  return {
    id: createHash("sha256").update(raw).digest("hex"),
    publicKey: raw.toString("base64url"),
    key,
  };
}

/** What is signed in a handshake, version 2 of the gateways' scheme. */
export interface Signed {
  clientId: string;
  clientMode: string;
  role: string;
  scopes: readonly string[];
  /** Milliseconds since the epoch, as the gateway's challenge gave it. */
  signedAt: number;
  token: string;
  nonce: string;
}

/** The `device` part of a handshake. */
export function signedDevice(device: Device, signed: Signed) {
  const { clientId, clientMode, role, scopes, signedAt, token, nonce } = signed;
  const text = ["v2", device.id, clientId, clientMode, role, scopes.join(","), signedAt, token, nonce].join(
    "|",
  );
  return {
    id: device.id,
    publicKey: device.publicKey,
    signature: sign(null, Buffer.from(text), device.key).toString("base64url"),
    signedAt,
    nonce,
  };
}
