import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { TestContext } from "node:test";

/**
 * What happens to the next COMMIT: its answer is lost; it is lost itself; or the client loses its connection at once, while
 * Postgres gets the COMMIT only when `release` is called.
 */
export type Fate = "answer lost" | "request lost" | "late";

/** Stands between a client and Postgres, and cuts the connection in the middle of a COMMIT when told to. */
export interface PostgresProxy {
  url: string;
  /** The next COMMIT meets this. */
  meet(fate: Fate): void;
  /** Whether a COMMIT has met its fate. */
  readonly met: boolean;
  /** Lets the late COMMIT through. */
  release(): void;
  /** While refused, no new connection comes through. */
  refuse(on: boolean): void;
}

const COMMITTED = Buffer.from("COMMIT\0");

export async function startPostgresProxy(t: TestContext, databaseUrl: string): Promise<PostgresProxy> {
  const { hostname, port } = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let fate: Fate | undefined;
  let met = false;
  let refusing = false;
  let release = () => {};
  const server = createServer((near) => {
    if (refusing) return void near.destroy();
    const far = connect(Number(port), hostname);
    const watcher = commitWatcher();
    let isLosingAnswer = false;
    const cut = () => {
      fate = undefined;
      met = true;
      near.destroy();
    };
    near.on("data", (bytes) => {
      // It has to see all: a statement is prepared once, by its text, and later only named.
      const isCommit = watcher(bytes);
      if (!isCommit || fate === undefined) return void far.write(bytes);
      if (fate === "answer lost") isLosingAnswer = true;
      if (fate === "request lost") far.destroy();
      if (fate === "late")
        release = () => {
          far.end(bytes);
        };
      else if (isLosingAnswer) far.write(bytes);
      if (!isLosingAnswer) cut();
    });
    far.on("data", (bytes) => {
      if (isLosingAnswer && bytes.includes(COMMITTED)) {
        cut();
        far.destroy();
      } else if (!near.destroyed) near.write(bytes);
    });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        // A late COMMIT's connection lives on at Postgres' side.
        if (socket === far || !met) other.destroy();
      });
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a listening socket has no port");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const url = new URL(databaseUrl);
  url.port = String(address.port);
  return {
    url: url.href,
    meet: (next) => {
      fate = next;
      met = false;
    },
    get met() {
      return met;
    },
    release: () => release(),
    refuse: (on) => {
      refusing = on;
    },
  };
}

/** Tells whether bytes of one connection's client ask for a COMMIT: by its text, or by the statement prepared from it. */
function commitWatcher(): (bytes: Buffer) => boolean {
  let statement: string | undefined;
  return (bytes) => {
    const text = bytes.toString("latin1");
    const prepared = /P[\s\S]{4}([^\0]*)\0commit\0/.exec(text);
    if (prepared) statement = prepared[1];
    return prepared !== null || (statement !== undefined && text.includes(`\0${statement}\0`));
  };
}
