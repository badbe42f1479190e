import postgres from "postgres";
import { arrayTypes } from "./array-types.ts";
import { PoolSocket } from "./pool-socket.ts";

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
const AWAY_CODES = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "EAI_AGAIN",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETUNREACH",
  "ENOTFOUND",
  "EPIPE",
  "ERR_STREAM_DESTROYED",
  "ETIMEDOUT",
]);

/** What a connection attempt of a pool that has been given up is answered with. */
class ConnectionLostError extends Error {
  override name = "ConnectionLostError";
  readonly code = "CONNECTION_CLOSED";

  constructor() {
    super("the connection to Postgres was lost");
  }
}

/**
 * Opens a pool. It connects when the first query comes.
 *
 * When a connection is lost the whole pool is given up, and the next query opens a fresh one: what was under way or
 * waiting fails at once with an error for which `isUnavailable` is true (a COMMIT under way may have been carried out), a
 * query made while Postgres is away costs one attempt and fails with it, and the first one made after its return
 * succeeds. Nothing waits in a queue for a server that may not come back. (Over TLS the pool is the client's own, without
 * these promises.) A query's `cancel` does not work on it, for want of a socket that is seen to close.
 *
 * @param url postgres://user:password@host:port/database
 */
export function openDatabase(
  url: string,
  { maxConnections = 10, onNotice = () => {} }: DatabaseOptions = {},
): Database {
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
    const connect = (server: { host: string[]; port: number[]; path: string | false }) => {
      const socket: PoolSocket = new PoolSocket({
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
      // A reconnect that was on its way when the pool was given up.
      if (gone) throw new ConnectionLostError();
      sockets.add(socket);
      if (server.path) return socket.connect(server.path);
      return socket.connect(server.port[0] ?? 5432, server.host[0] ?? "127.0.0.1");
    };
    const options = {
      max: maxConnections,
      types,
      prepare: true,
      fetch_types: false,
      connect_timeout: CONNECT_TIMEOUT_SECONDS,
      // A connection stays until it is lost; what lies between must not drop quiet ones, so they are probed.
      max_lifetime: null,
      keep_alive: 60,
      backoff: () => 0,
      onnotice: (notice: postgres.Notice) => onNotice(notice.message ?? ""),
      connection: { application_name: "muster" },
    };
    // Under TLS the client watches a socket of its own, which this one cannot speak for.
    const overOurSocket = { ...options, socket: connect };
    const sql: Database = postgres(url, wantsTls(url) ? options : overOurSocket);
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

/** Whether an error means that Postgres cannot be reached, or is just coming or going: the same may work later. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return false;
  if (error instanceof postgres.PostgresError)
    return AWAY_STATES.has(error.code) || error.code.startsWith("08");
  return AWAY_CODES.has(error.code);
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

function wantsTls(url: string): boolean {
  const { searchParams } = new URL(url);
  const mode = searchParams.get("sslmode") ?? searchParams.get("ssl") ?? process.env.PGSSL ?? "disable";
  return mode !== "disable" && mode !== "false";
}
