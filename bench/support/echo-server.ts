import { type UwsSocket, uws } from "../../src/edge/uws.ts";
import { collectGarbage } from "./collect-garbage.ts";

/* A bare uWebSockets.js server that sends back what it gets: the most that this library can do. Tells its parent its
 * URL, and when asked, its resident memory without garbage. */
const app = uws.App();
app.ws<object>("/*", {
  compression: 0,
  maxPayloadLength: 16_384,
  maxBackpressure: 0,
  idleTimeout: 0,
  sendPingsAutomatically: false,
  upgrade: (res, req, context) => res.upgrade({}, req.getHeader("sec-websocket-key"), "", "", context),
  open: () => {},
  message: (socket: UwsSocket<object>, message, isBinary) =>
    void socket.send(new Uint8Array(message), isBinary, false),
  drain: () => {},
  close: () => {},
});
app.listen("127.0.0.1", 0, 0, (socket) => {
  if (socket) process.send?.({ url: `http://127.0.0.1:${uws.us_socket_local_port(socket)}` });
});
process.on("message", async () => {
  await collectGarbage();
  process.send?.({ bytes: process.memoryUsage.rss() });
});
process.on("disconnect", () => process.exit(0));
