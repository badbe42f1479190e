/** The embedded Postgres cannot be run here; the message says why and what would help. */
export class EmbeddedPostgresError extends Error {
  override name = "EmbeddedPostgresError";
}

/** The word to add wherever a Postgres of the user's own would do as well. */
export const OR_OWN_POSTGRES = "or set DATABASE_URL to a Postgres of your own";
