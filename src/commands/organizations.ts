import { requireUser } from "../auth/access.ts";
import { mintToken } from "../auth/tokens.ts";
import { MusterError } from "../protocol/errors.ts";
import type { organizationMethods } from "../protocol/organizations.ts";
import { readOrganization, toOrganization } from "../store/organizations.ts";
import { deleteTokenFamily, generationsTo, MOST_GENERATIONS } from "../store/token-families.ts";
import { insertUserToken, listUserTokens, toUserToken } from "../store/tokens.ts";
import type { Handlers } from "./context.ts";
import { pagesOf } from "./pages.ts";
import { endOfChild } from "./token-life.ts";

export const organizationCommands: Handlers<keyof typeof organizationMethods> = {
  async "organization.get"(context) {
    const { organizationId } = requireUser(context.principal);
    const organization = await readOrganization(context.database, organizationId);
    if (!organization) throw new MusterError("not_found", "Organization not found");
    return { organization: toOrganization(organization) };
  },

  async "user_token.create"(context, { name, expires_in }) {
    const { organizationId, userId, tokenId } = requireUser(context.principal);
    const { clock, database } = context.services;
    const at = clock.now();
    const { id, token, hash } = mintToken("user");
    const row = await database.begin(async (transaction) => {
      const made = {
        id,
        organization_id: organizationId,
        user_id: userId,
        parent_id: tokenId,
        name,
        hash,
        created_at: new Date(at),
        expires_at: await endOfChild(transaction, tokenId, { at, expires_in }),
      };
      if ((await generationsTo(transaction, tokenId)) >= MOST_GENERATIONS) throw tooDeep();
      await insertUserToken(transaction, made);
      return made;
    });
    return { user_token: toUserToken(row), token };
  },

  async "user_token.list"(context, params) {
    const { organizationId, userId } = requireUser(context.principal);
    const pages = pagesOf(context, { organizationId, list: "user_token.list" });
    const { rows, total, nextCursor } = await listUserTokens(
      context.database,
      { organizationId, userId },
      pages.asked(params),
    );
    return { items: rows.map(toUserToken), total, next_cursor: pages.next(nextCursor) };
  },

  async "user_token.delete"(context, { token_id }) {
    const { organizationId, userId } = requireUser(context.principal);
    const { tokenIds, deleted } = await context.services.database.begin((transaction) =>
      deleteTokenFamily(transaction, { organizationId, userId, id: token_id }),
    );
    context.onceCommitted(() => context.services.endSessions({ tokenIds }));
    return { ok: true, deleted };
  },
};

function tooDeep(): MusterError {
  return new MusterError(
    "unprocessable",
    `A token made with a token, made with a token …: at most ${MOST_GENERATIONS}. Use an earlier one to make another.`,
  );
}
