import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { wholeNumber } from "./whole-number.ts";

/** How much a connection insists on TLS; the words are libpq's, and so is what they mean. */
export type TlsMode = (typeof TLS_MODES)[number];

/** Where a database is, and as whom to open it. */
export interface DatabaseAddress {
  host: string;
  port: number;
  user: string;
  password: string;
  database: string;
  tls: {
    mode: TlsMode;
    /** The certificates that vouch for the server's, as PEM; undefined: those that Node trusts. */
    ca: string | undefined;
  };
  /** Settings of Postgres for each connection, by their names. */
  settings: Readonly<Record<string, string>>;
  /** Names of parameters that nothing is done with. */
  unused: readonly string[];
}

/** What is wrong with a database's URL and what would be right, as the end of a sentence; never with its password. */
export class DatabaseUrlError extends Error {
  override name = "DatabaseUrlError";
}

const TLS_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;
/** `ssl` comes from JDBC, `no-verify` from Node's other client; hosters' guides have both. */
const TLS_SYNONYMS: Record<string, TlsMode> = {
  true: "require",
  "1": "require",
  false: "disable",
  "0": "disable",
  "no-verify": "require",
};
const SETTINGS = ["application_name", "options", "search_path"];
/** What libpq lets parameters say again. */
const ELSEWHERE = ["host", "hostaddr", "port", "user", "password", "dbname", "database"];
const DEFAULT_PORT = 5432;
const MAX_PORT = 65_535;
const SHAPE = "postgres://user:password@host:5432/database";
/** libpq would look for a unix socket. */
const NO_HOST = `names no host, and a unix socket cannot be used: it must be like ${SHAPE}`;
/** Everything that could not be part of a name or an IPv4 address. */
const NOT_IN_HOSTS = /[\s\p{Cc}/\\?#@:[\]<>^|%"`{}]/u;
const LONGEST_HOST = 255;

/**
 * Reads a database's URL. Where it names no user, password or database, PGUSER, PGPASSWORD and PGDATABASE do, as for
 * Postgres' own programs; what it does say nothing overrides.
 *
 * @throws DatabaseUrlError when it can never be used
 */
export function parseDatabaseUrl(
  text: string,
  environment: Record<string, string | undefined> = process.env,
): DatabaseAddress {
  const [, authority, rest = ""] = /^postgres(?:ql)?:\/\/([^/?#]*)(.*)$/s.exec(text.trim()) ?? [];
  if (authority === undefined) throw new DatabaseUrlError(`must be a postgres:// URL, like ${SHAPE}`);
  if (/%(?![\da-f]{2})/i.test(text))
    throw new DatabaseUrlError(
      "has a % that two hexadecimal digits do not follow: a % itself is written %25",
    );
  // Otherwise half a password would be taken for a host, and shown.
  if (/[@#]/.test(rest))
    throw new DatabaseUrlError(
      "has an @ or a # after its host: in a user, a password or a name, / is written %2F, ? %3F, # %23 and @ %40",
    );
  const at = authority.lastIndexOf("@");
  const [, userText = "", passwordText] =
    /^([^:]*)(?::(.*))?$/s.exec(authority.slice(0, Math.max(at, 0))) ?? [];
  const [path = "", query = ""] = rest.split(/\?(.*)/s);
  const user = decoded(userText, "user") || (environment.PGUSER ?? "") || systemUser();
  const parameters = Object.fromEntries(new URLSearchParams(query));
  // Sockets and lists of hosts are often named there, and refused as what they are.
  if (parameters.host !== undefined) place(parameters.host);
  for (const name of ELSEWHERE)
    if (name in parameters)
      throw new DatabaseUrlError(`has ${name} as a parameter: everything before the ? is as in ${SHAPE}`);
  return {
    ...place(authority.slice(at + 1)),
    user,
    password: passwordText === undefined ? (environment.PGPASSWORD ?? "") : decoded(passwordText, "password"),
    database: decoded(path.slice(1), "database") || (environment.PGDATABASE ?? "") || user,
    ...theRest(parameters),
  };
}

function place(text: string): { host: string; port: number } {
  if (text === "") throw new DatabaseUrlError(NO_HOST);
  if (text.includes(","))
    throw new DatabaseUrlError("names several hosts, of which one alone can be used: name the primary");
  if (/^(?:\/|%2f)/i.test(text))
    throw new DatabaseUrlError(
      `names a unix socket, which cannot be used: name a host that listens on TCP, as in ${SHAPE}`,
    );
  const [, hostText = "", portText] = /^([^:[\]]+)(?::([^:]*))?$/.exec(text) ?? [];
  if (hostText === "")
    throw new DatabaseUrlError(
      /[[\]]|:.*:/.test(text)
        ? "has an IPv6 address as its host, which cannot be used: use a host name or an IPv4 address"
        : NO_HOST,
    );
  const host = decoded(hostText, "host");
  if (NOT_IN_HOSTS.test(host) || host.length > LONGEST_HOST)
    throw new DatabaseUrlError(
      `has a host that is neither a name nor an IPv4 address: it must be like ${SHAPE}`,
    );
  if (portText === undefined || portText === "") return { host, port: DEFAULT_PORT };
  const port = wholeNumber(portText);
  if (port === undefined || port < 1 || port > MAX_PORT)
    throw new DatabaseUrlError(
      `has no port from 1 to ${MAX_PORT} after its host (in a password, / is written %2F, ? %3F, # %23 and @ %40)`,
    );
  return { host, port };
}

function theRest(parameters: Record<string, string>): Pick<DatabaseAddress, "tls" | "settings" | "unused"> {
  const { ssl, sslmode, sslrootcert, ...others } = parameters;
  const said = tlsMode(sslmode ?? ssl ?? "prefer", sslmode === undefined ? "ssl" : "sslmode");
  const settings: Record<string, string> = {};
  const unused: string[] = [];
  for (const [name, value] of Object.entries(others))
    if (!SETTINGS.includes(name)) unused.push(name);
    else if (value.includes("\0")) throw new DatabaseUrlError(`has a NUL (%00) in ${name}: leave it out`);
    else settings[name] = value;
  return { tls: { mode: withRoots(said, sslrootcert), ca: certificates(sslrootcert) }, settings, unused };
}

function tlsMode(word: string, name: string): TlsMode {
  const mode =
    TLS_MODES.find((known) => known === word) ?? (Object.hasOwn(TLS_SYNONYMS, word) && TLS_SYNONYMS[word]);
  if (!mode) throw new DatabaseUrlError(`has an unknown ${name}: it must be one of ${TLS_MODES.join(", ")}`);
  return mode;
}

/** Whoever names what vouches for the server wants it looked at; anybody can get what the system trusts for some name. */
function withRoots(mode: TlsMode, sslrootcert: string | undefined): TlsMode {
  if (sslrootcert === "system") return "verify-full";
  return mode === "require" && sslrootcert !== undefined ? "verify-ca" : mode;
}

function certificates(path: string | undefined): string | undefined {
  if (path === undefined || path === "system") return undefined;
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new DatabaseUrlError(
      "names an sslrootcert that cannot be read: it must be a file of certificates",
      { cause },
    );
  }
  if (!text.includes("-----BEGIN CERTIFICATE-----"))
    throw new DatabaseUrlError(
      "names an sslrootcert without certificates: it must be a file of them, in PEM",
    );
  return text;
}

/** Without percent-encoding. A NUL would end the value early and begin another one. */
function decoded(text: string, what: string): string {
  let value = "\0";
  try {
    value = decodeURIComponent(text);
  } catch {
    // Told below.
  }
  if (value.includes("\0"))
    throw new DatabaseUrlError(`has a ${what} that is not percent-encoded text: use UTF-8, without NUL`);
  return value;
}

function systemUser(): string {
  try {
    return userInfo().username;
  } catch (cause) {
    throw new DatabaseUrlError(`names no user: it must be like ${SHAPE}`, { cause });
  }
}
