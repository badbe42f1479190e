import { type UwsSocket, uws } from "../../src/edge/uws.ts";

/*
 * The reference of the fan-out: a bare uWebSockets.js server that publishes frames of the given size to whoever connects,
 * one for each message of its parent.
 */
const app = uws.App();
const TOPIC = "all";
let offset = 0;

app.ws<object>("/v1/socket", {
  compression: 0,
  maxPayloadLength: 1_024,
  maxBackpressure: 0,
  idleTimeout: 0,
  sendPingsAutomatically: false,
  upgrade(res, req, context) {
    res.upgrade({}, req.getHeader("sec-websocket-key"), "muster.v1.json", "", context);
  },
  open: (socket: UwsSocket<object>) => void socket.subscribe(TOPIC),
  message: () => {},
  drain: () => {},
  close: () => {},
});
app.listen("127.0.0.1", 0, 0, (socket) => {
  if (socket) process.send?.({ url: `http://127.0.0.1:${uws.us_socket_local_port(socket)}` });
});
process.on("message", ({ bytes }: { bytes: number }) => {
  const head = `{"jsonrpc":"2.0","method":"change","params":{"topic":"agents","offset":${++offset},"upserts":[],"pad":"`;
  app.publish(TOPIC, `${head}${"x".repeat(Math.max(0, bytes - head.length - 3))}"}}`, false, false);
});
process.on("disconnect", () => process.exit(0));
