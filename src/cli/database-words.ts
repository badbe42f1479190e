import { ConfigError } from "../config.ts";
import { parseDatabaseUrl } from "../database-url.ts";
import { isUnavailable } from "../store/database.ts";

/** What to look at, by the code of the system, of OpenSSL, of the client or of Postgres. */
const ADVICE: Record<string, string> = {
  ECONNREFUSED: "is it running there, on that port?",
  ENOTFOUND: "look at the host name",
  EAI_AGAIN: "look at the host name and at this machine's name servers",
  ENETUNREACH: "look at the host and at this machine's network",
  EHOSTUNREACH: "look at the host and at this machine's network",
  EADDRNOTAVAIL: "look at the host and at this machine's network",
  EACCES: "look at what this machine lets through: its firewall, its sandbox",
  EPERM: "look at what this machine lets through: its firewall, its sandbox",
  EMFILE: "let this process open more files: ulimit -n",
  ENFILE: "let this machine open more files",
  CONNECT_TIMEOUT: "it did not answer in time: look at the host, the port and what lies between",
  ECONNRESET: "is it a Postgres that listens there?",
  EPIPE: "is it a Postgres that listens there?",
  CONNECTION_CLOSED: "is it a Postgres that listens there?",
  NOT_POSTGRES: "is it a Postgres that listens there?",
  SIGN_IN_UNKNOWN: "let its pg_hba.conf ask for scram-sha-256",
  NO_TLS: "switch it on there, or write another sslmode",
  "53300": "it takes no more connections: let it have more, or end some",
  "28P01": "look at the user and the password",
  "28000": "look at the user, at sslmode and at what its pg_hba.conf lets in",
  "3D000": "make that database, or name another one",
};
/** A certificate that was looked at and found wanting. */
const CERTIFICATE = /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_)/;
const CERTIFICATE_ADVICE =
  "name what vouches for its certificate as sslrootcert, or the host that the certificate is for";
/** The sign-in, or the database, that the variable names is refused: waiting does not help. */
const REFUSED = /^(?:28|3D)/;

/**
 * What stops a start on the operator's own Postgres, in one sentence: which Postgres, why, and what to look at, without
 * the password. Errors that are not Postgres' come back as they are.
 */
export function inWords(error: unknown, databaseUrl: string): unknown {
  if (!(error instanceof Error) || !(isUnavailable(error) || error.name === "PostgresError")) return error;
  const { host, port, database } = parseDatabaseUrl(databaseUrl);
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const advice = CERTIFICATE.test(code) ? CERTIFICATE_ADVICE : ADVICE[code];
  const said = `${error.message.replaceAll(/\s+/g, " ")}${advice === undefined ? "" : `; ${advice}`}`;
  const where = `${host}:${port}/${database}`;
  return REFUSED.test(code)
    ? new ConfigError(`DATABASE_URL: the Postgres ${where} lets nobody in with it: ${said}`)
    : new Error(`the Postgres of DATABASE_URL, ${where}, cannot be used: ${said}`, { cause: error });
}
