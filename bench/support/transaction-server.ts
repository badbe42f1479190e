import postgres from "postgres";
import { type UwsSocket, uws } from "../../src/edge/uws.ts";
import { jsonCodec } from "../../src/protocol/codec.ts";
import { beatInTransaction } from "./reference-beats.ts";

/*
 * Heartbeats as the reference service does them: a transaction each, with an UPDATE of the agent and an INSERT of an event, from
 * a pool of ten connections. To its advantage it has our sockets and our frames in the place of HTTP requests, sends both
 * statements at once, and reads no agent before. Started with the database's URL; the n-th socket is the n-th agent.
 */
const [databaseUrl = ""] = process.argv.slice(2);
const POOL = 10;
const sql = postgres(databaseUrl, { max: POOL });
const ids = (await sql<{ id: string }[]>`select id from agents order by no`).map(({ id }) => id);
let sockets = 0;

interface Data {
  agentId: string;
  isOpen: boolean;
}

const app = uws.App();
app.ws<Data>("/*", {
  compression: 0,
  maxPayloadLength: 16_384,
  maxBackpressure: 0,
  idleTimeout: 0,
  sendPingsAutomatically: false,
  upgrade(res, req, context) {
    const data = { agentId: ids[sockets++ % ids.length] ?? "", isOpen: true };
    res.upgrade(data, req.getHeader("sec-websocket-key"), "", "", context);
  },
  open: () => {},
  message(socket, message) {
    const { n } = JSON.parse(Buffer.from(message).toString()).params;
    void beat(socket, n);
  },
  drain: () => {},
  close(socket) {
    socket.getUserData().isOpen = false;
  },
});
app.listen("127.0.0.1", 0, 0, (socket) => {
  if (socket) process.send?.({ url: `http://127.0.0.1:${uws.us_socket_local_port(socket)}` });
});
process.on("disconnect", () => process.exit(0));

async function beat(socket: UwsSocket<Data>, n: number): Promise<void> {
  const data = socket.getUserData();
  await beatInTransaction(sql, data.agentId);
  if (data.isOpen) socket.send(String(jsonCodec.encode({ method: "ack", params: { n } })), false, false);
}
