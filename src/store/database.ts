import postgres from "postgres";
import { parseDatabaseUrl } from "../database-url.ts";
import { arrayTypes } from "./array-types.ts";
import { ConnectionLostError } from "./connection-lost.ts";
import { PoolSocket } from "./pool-socket.ts";
import { withoutPgVariables } from "./without-pg-variables.ts";

const types = {
  ...arrayTypes,
  // Our counters and versions stay far below 2^53.
  int8: { to: 20, from: [20], serialize: String, parse: Number },
  // A day is no instant: made a Date, it would move with the time zone.
  day: { to: 1082, from: [1082], serialize: String, parse: String },
};

type Types = { int8: number; day: string };

/**
 * A pool of connections: tagged templates are queries, `begin` runs a transaction. The client's `listen`, `subscribe` and
 * `reserve` are not among what it can do: they expect to see their sockets close.
 */
export type Database = Queries & Pick<postgres.Sql<Types>, "begin" | "end">;

/** What `begin` hands to its function. */
export type Transaction = postgres.TransactionSql<Types>;

/** Whatever queries can be put to: the pool, or a transaction. */
export type Queries = postgres.ISql<Types>;

export interface DatabaseOptions {
  maxConnections?: number;
  /** Takes the text of Postgres' notices; by default they are dropped. */
  onNotice?: (message: string) => void;
}

const CONNECT_TIMEOUT_SECONDS = 5;
const CLOSE_TIMEOUT_SECONDS = 5;

/** SQLSTATEs that speak of the server and not of the statement: shutting down, starting, full. */
const AWAY_STATES = new Set(["57P01", "57P02", "57P03", "53300"]);
/** Severities with which a connection ends, a sign-in that is refused among them. */
const ENDS = new Set(["FATAL", "PANIC"]);
/** What the client itself says of a connection that it cannot use. */
const AWAY_CODES = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "SASL_SIGNATURE_MISMATCH",
]);

/**
 * Opens a pool. It connects when the first query comes.
 *
 * When a connection is lost the whole pool is given up, and the next query opens a fresh one: what was under way or
 * waiting fails at once with an error for which `isUnavailable` is true (a COMMIT under way may have been carried out), a
 * query made while Postgres is away costs one attempt and fails with it, and the first one made after its return
 * succeeds. Nothing waits in a queue for a server that may not come back. A query's `cancel` does not work on it, for want
 * of a socket that is seen to close.
 *
 * @param url postgres://user:password@host:port/database, with `sslmode` and others of libpq's parameters
 * @throws DatabaseUrlError when it can never be used
 */
export function openDatabase(
  url: string,
  { maxConnections = 10, onNotice = () => {} }: DatabaseOptions = {},
): Database {
  const address = parseDatabaseUrl(url);
  let ended: Promise<void> | undefined;
  let pool = openPool();

  function openPool(): Database {
    const sockets = new Set<PoolSocket>();
    let ready = 0;
    let gone: Promise<void> | undefined;
    const giveUp = async () => {
      if (!ended) pool = openPool();
      await sql.end({ timeout: 0 });
      for (const socket of sockets) socket.destroy();
    };
    const connect = () => {
      // A reconnect that was on its way when the pool was given up.
      if (gone) throw new ConnectionLostError();
      const socket: PoolSocket = new PoolSocket(address, {
        ready: () => {
          ready += 1;
        },
        lost: (wasReady) => {
          sockets.delete(socket);
          if (wasReady) ready -= 1;
          // One more connection was refused while others work (all slots are taken, say): no reason to end those. A
          // turn later, the client has written what it had in hand.
          else if (ready > 0 && !gone) return new Promise((resolve) => setImmediate(resolve));
          gone ??= giveUp();
          return gone;
        },
      });
      sockets.add(socket);
      return socket;
    };
    const options = {
      host: address.host,
      port: address.port,
      user: address.user,
      // Of an empty one the client would say that it was not given.
      password: () => address.password,
      database: address.database,
      max: maxConnections,
      types,
      prepare: true,
      fetch_types: false,
      connect_timeout: CONNECT_TIMEOUT_SECONDS,
      // A connection stays until it is lost.
      max_lifetime: null,
      backoff: () => 0,
      onnotice: (notice: postgres.Notice) => onNotice(notice.message ?? ""),
      connection: { application_name: "muster", ...address.settings },
      // Whether there is TLS is the socket's affair.
      ssl: false,
      socket: connect,
    };
    const sql: Database = withoutPgVariables(() => postgres(options));
    return sql;
  }

  const end: Database["end"] = (how) => {
    ended ??= pool.end(how);
    return ended;
  };
  return new Proxy(pool, {
    apply: (_, self, args) => Reflect.apply(pool, self, args),
    get: (_, key) => (key === "end" ? end : Reflect.get(pool, key)),
  });
}

/** Lets what is under way finish, for a few seconds at most, and ends all connections. */
export function closeDatabase(database: Database): Promise<void> {
  return database.end({ timeout: CLOSE_TIMEOUT_SECONDS });
}

/**
 * Whether an error means that Postgres cannot be reached, lets nobody in, or is just coming or going: it says nothing of
 * the statement, and the same may work later.
 */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof ConnectionLostError) return true;
  if (error instanceof postgres.PostgresError)
    return (
      AWAY_STATES.has(error.code) ||
      error.code.startsWith("08") ||
      // Poolers give the one, old servers the other.
      ENDS.has(error.severity ?? error.severity_local)
    );
  return (
    error instanceof Error && "code" in error && typeof error.code === "string" && AWAY_CODES.has(error.code)
  );
}

/** Whether Postgres answers. */
export async function isReachable(database: Database): Promise<boolean> {
  return database`select 1`.then(
    () => true,
    () => false,
  );
}

/** Deadlock, serialization failure: two transactions were in each other's way, and the same works at once. */
export function isPassing(error: unknown): boolean {
  return error instanceof postgres.PostgresError && (error.code === "40P01" || error.code === "40001");
}
