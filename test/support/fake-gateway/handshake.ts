import { createHash, createPublicKey, verify } from "node:crypto";
import { z } from "zod";
import { Refused } from "./state.ts";

const connect = z.strictObject({
  minProtocol: z.number(),
  maxProtocol: z.number(),
  client: z.strictObject({
    id: z.enum(["cli", "gateway-client"]),
    version: z.string(),
    platform: z.string(),
    mode: z.enum(["cli", "backend"]),
  }),
  role: z.string(),
  scopes: z.array(z.string()),
  caps: z.array(z.string()),
  auth: z.strictObject({ token: z.string() }).optional(),
  device: z.strictObject({
    id: z.string(),
    publicKey: z.string(),
    signature: z.string(),
    signedAt: z.number(),
    nonce: z.string(),
  }),
});
/** The head of an Ed25519 public key in DER, before its 32 bytes. */
const DER = Buffer.from("302a300506032b6570032100", "hex");

/** Checks a handshake as the real gateways do. Returns who it is and the scopes; throws what they say. */
export function checkConnect(
  params: unknown,
  { protocol, token, nonce }: { protocol: number; token: string; nonce: string },
): { deviceId: string; scopes: string[] } {
  const { data } = connect.safeParse(params);
  if (!data) throw new Refused("invalid connect params");
  if (data.minProtocol > protocol || data.maxProtocol < protocol)
    throw new Refused("protocol mismatch", "INVALID_REQUEST", { details: { expectedProtocol: protocol } });
  const { device, client, role, scopes, auth } = data;
  const given = auth?.token ?? "";
  const raw = Buffer.from(device.publicKey, "base64url");
  if (device.id !== createHash("sha256").update(raw).digest("hex"))
    throw new Refused("device identity mismatch");
  if (device.nonce !== nonce) throw new Refused("device nonce mismatch");
  const text = [
    "v2",
    device.id,
    client.id,
    client.mode,
    role,
    scopes.join(","),
    device.signedAt,
    given,
    nonce,
  ];
  const key = createPublicKey({ key: Buffer.concat([DER, raw]), format: "der", type: "spki" });
  if (!verify(null, Buffer.from(text.join("|")), key, Buffer.from(device.signature, "base64url")))
    throw new Refused("device signature invalid");
  if (given !== token)
    throw new Refused(
      "unauthorized: gateway token mismatch (provide gateway auth token)",
      "INVALID_REQUEST",
      {
        details: { code: "AUTH_TOKEN_MISMATCH" },
      },
    );
  return { deviceId: device.id, scopes };
}
