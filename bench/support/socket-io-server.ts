import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import postgres from "postgres";
import { updateLastSeen } from "./reference-beats.ts";

/*
 * Heartbeats on Socket.IO with its acknowledgements, committed in groups as ours are: whatever has come within 5 ms is one UPDATE,
 * and is acknowledged once that is committed. Started with the database's URL; the n-th socket is the n-th agent, or carries all
 * whose small keys its event names.
 */
const [databaseUrl = ""] = process.argv.slice(2);
const COMMIT_INTERVAL_MS = 5;

interface IoSocket {
  on(event: "heartbeat", listener: (params: object, acknowledge: () => void) => void): void;
  on(event: "heartbeats", listener: (nos: number[], acknowledge: () => void) => void): void;
}
interface IoServer {
  on(event: "connection", listener: (socket: IoSocket) => void): void;
}
// Its own packages, in this folder's node_modules: what the product is built from does not have them.
const name = "socket.io";
const io: { Server: new (http: object, options: object) => IoServer } = await import(name);

const sql = postgres(databaseUrl, { max: 1 });
const [count] = await sql<{ agents: number }[]>`select count(*)::int as agents from agents`;
const agents = count?.agents ?? 1;
const http = createServer();
const server = new io.Server(http, { transports: ["websocket"], serveClient: false });
let sockets = 0;
let beats = new Map<number, number>();
let acknowledgements: (() => void)[] = [];
let isCommitting = false;

server.on("connection", (socket) => {
  const no = sockets++ % agents;
  socket.on("heartbeat", (_, acknowledge) => {
    beats.set(no, Date.now());
    expect(acknowledge);
  });
  socket.on("heartbeats", (nos, acknowledge) => {
    const now = Date.now();
    for (const one of nos) beats.set(one, now);
    expect(acknowledge);
  });
});

function expect(acknowledge: () => void): void {
  if (acknowledgements.push(acknowledge) === 1 && !isCommitting) setTimeout(commit, COMMIT_INTERVAL_MS);
}

async function commit(): Promise<void> {
  const waiting = acknowledgements;
  const nos = [...beats.keys()];
  const times = [...beats.values()];
  acknowledgements = [];
  beats = new Map();
  isCommitting = true;
  await updateLastSeen(sql, nos, times);
  isCommitting = false;
  for (const acknowledge of waiting) acknowledge();
  if (acknowledgements.length > 0) setTimeout(commit, COMMIT_INTERVAL_MS);
}

http.listen(0, "127.0.0.1", () => {
  const { port } = http.address() as AddressInfo;
  process.send?.({ url: `http://127.0.0.1:${port}` });
});
process.on("disconnect", () => process.exit(0));
