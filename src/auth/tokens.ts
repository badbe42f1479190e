import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** Whose token it is, by its prefix. */
const PREFIX = { user: "mst_user", agent: "mst_agent", enrolment: "mst_enrol" } as const;
export type TokenKind = keyof typeof PREFIX;

/** A token just minted. `token` is shown once; only `id` and `hash` are kept. */
export interface MintedToken {
  id: string;
  token: string;
  hash: Buffer;
}

/** What a presented token says of itself, unproven until `hash` matches the kept one. */
export interface PresentedToken {
  kind: TokenKind;
  id: string;
  hash: Buffer;
}

const FORM = /^(mst_user|mst_agent|mst_enrol)_([0-9a-f]{24})_([A-Za-z0-9_-]{43})$/;

/** A new token: a public id of 96 bits to find it by, and a secret of 256 random bits. */
export function mintToken(kind: TokenKind): MintedToken {
  const id = randomBytes(12).toString("hex");
  const token = `${PREFIX[kind]}_${id}_${randomBytes(32).toString("base64url")}`;
  return { id, token, hash: hashToken(token) };
}

/** Reads a presented token; undefined when it has not the form of one. */
export function readToken(token: string): PresentedToken | undefined {
  const [, prefix, id] = FORM.exec(token) ?? [];
  for (const kind of Object.keys(PREFIX) as TokenKind[])
    if (PREFIX[kind] === prefix && id !== undefined) return { kind, id, hash: hashToken(token) };
  return undefined;
}

/** Whether the presented token is the kept one, in constant time. */
export function tokenMatches(presented: PresentedToken, keptHash: Uint8Array): boolean {
  return keptHash.length === presented.hash.length && timingSafeEqual(presented.hash, keptHash);
}

function hashToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
