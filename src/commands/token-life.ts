import { MusterError } from "../protocol/errors.ts";
import type { Queries } from "../store/database.ts";
import { holdParent } from "../store/token-families.ts";

/**
 * Until when a token is good that is made with another one: never longer than that one, and as long unless less is asked for.
 *
 * @param parentId the token that it is made with, which stays until the transaction has ended
 * @param life when it is made, and for how long it is asked to be good, in milliseconds; undefined: as long as may be
 * @returns null: it does not end
 * @throws MusterError `unprocessable` when it would outlive the other
 */
export async function endOfChild(
  transaction: Queries,
  parentId: string,
  { at, expires_in }: { at: number; expires_in: number | undefined },
): Promise<Date | null> {
  const { expiresAt: latest } = await holdParent(transaction, parentId);
  if (expires_in === undefined) return latest;
  const wanted = new Date(at + expires_in);
  if (latest === null || wanted <= latest) return wanted;
  throw new MusterError(
    "unprocessable",
    `expires_in: a token may not outlive the one that it is made with, which is good until ${latest.toISOString()}. Ask for a ` +
      "shorter time, or leave expires_in out.",
  );
}
