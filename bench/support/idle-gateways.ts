import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

/*
 * Gateways that have nothing to do, all on one port: they shake hands with whomever, tick every 30 s and tell their health
 * every minute, as long as a real one's. Tells its parent its URL; asked for anything it answers how many are connected.
 */
const TICK_MS = 30_000;
/** A real gateway of September 2026 lists 466 methods and tells some kilobytes of health and snapshot. */
const METHODS = Array.from({ length: 466 }, (_, number) => `some.namespace.method${number}`);
const HEALTH = { ok: true, agents: Array.from({ length: 20 }, (_, id) => ({ id, words: "x".repeat(180) })) };

const sockets = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
const say = (socket: WebSocket, event: string, payload: object) =>
  socket.send(JSON.stringify({ type: "event", event, payload }));

sockets.on("connection", (socket) => {
  let ticks = 0;
  const tick = () => {
    say(socket, "tick", { ts: Date.now() });
    if (++ticks % 2 === 0) say(socket, "health", HEALTH);
    timer = setTimeout(tick, TICK_MS);
  };
  // Each is a gateway of its own, whose clock began at another time.
  let timer = setTimeout(tick, Math.random() * TICK_MS);
  socket.on("close", () => clearTimeout(timer));
  socket.on("message", (data) => {
    const { id } = JSON.parse(String(data));
    const payload = {
      type: "hello-ok",
      protocol: 4,
      server: { version: "2026.9.6", connId: "c" },
      features: { methods: METHODS, events: [] },
      snapshot: { health: HEALTH },
      auth: { scopes: ["operator.admin", "operator.read", "operator.write"] },
      policy: { maxPayload: 26_214_400, tickIntervalMs: TICK_MS },
    };
    socket.send(JSON.stringify({ type: "res", id, ok: true, payload }));
    say(socket, "health", HEALTH);
  });
  say(socket, "connect.challenge", { nonce: "n", ts: Date.now() });
});
await once(sockets, "listening");
const { port } = sockets.address() as AddressInfo;
process.send?.({ url: `ws://127.0.0.1:${port}` });
process.on("message", () => process.send?.({ connected: sockets.clients.size }));
process.on("disconnect", () => process.exit(0));
