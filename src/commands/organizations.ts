import { requireUser } from "../auth/access.ts";
import { mintToken } from "../auth/tokens.ts";
import { MusterError } from "../protocol/errors.ts";
import type { organizationMethods } from "../protocol/organizations.ts";
import { readOrganization, toOrganization } from "../store/organizations.ts";
import { deleteUserToken, insertUserToken, listUserTokens, toUserToken } from "../store/tokens.ts";
import type { Handlers } from "./context.ts";

export const organizationCommands: Handlers<keyof typeof organizationMethods> = {
  async "organization.get"(context) {
    const { organizationId } = requireUser(context.principal);
    const organization = await readOrganization(context.database, organizationId);
    if (!organization) throw new MusterError("not_found", "Organization not found");
    return { organization: toOrganization(organization) };
  },

  async "user_token.create"(context, { name, expires_in }) {
    const { organizationId, userId } = requireUser(context.principal);
    const at = context.services.clock.now();
    const { id, token, hash } = mintToken("user");
    const row = {
      id,
      organization_id: organizationId,
      user_id: userId,
      name,
      hash,
      created_at: new Date(at),
      expires_at: expires_in === undefined ? null : new Date(at + expires_in),
    };
    await insertUserToken(context.database, row);
    return { user_token: toUserToken(row), token };
  },

  async "user_token.list"(context, params) {
    const { organizationId, userId } = requireUser(context.principal);
    const { rows, total, nextCursor } = await listUserTokens(
      context.database,
      { organizationId, userId },
      params,
    );
    return { items: rows.map(toUserToken), total, next_cursor: nextCursor };
  },

  async "user_token.delete"(context, { token_id }) {
    const { organizationId, userId } = requireUser(context.principal);
    if (await deleteUserToken(context.database, { organizationId, userId, id: token_id }))
      context.onceCommitted(() => context.services.endSessions({ tokenIds: [token_id] }));
    return { ok: true };
  },
};
