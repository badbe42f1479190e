import { type MintedToken, mintToken } from "../auth/tokens.ts";
import type { Committer } from "../store/committer.ts";
import { draftsOf } from "./changes.ts";
import type { Registry } from "./registry.ts";
import { gone } from "./transitions.ts";

/** A fresh token for an agent, at once, without any other change. The older ones stay good until it is used. */
export async function rotateToken(
  { registry, committer }: { registry: Registry; committer: Pick<Committer, "commit"> },
  index: number,
  at: number,
): Promise<MintedToken> {
  const minted = mintToken("agent");
  const agentId = registry.idOf(index);
  if (agentId === undefined) throw gone();
  const params = { type: "agent.token.rotated", message: `${registry.nameOf(index)} got a new token.` };
  await committer.commit({
    kind: "remark",
    agentId,
    at: new Date(at),
    seen: null,
    events: draftsOf([{ type: "record", params }], {
      agentId,
      belonging: registry.belongingOf(index),
      at,
      everyBeat: false,
    }),
    token: { minted, sealed: null },
    also: null,
  });
  return minted;
}
