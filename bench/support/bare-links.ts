import { WebSocket } from "ws";

/*
 * Bare connections of the `ws` package to gateways, which read what comes and keep nothing. Argument: URL. Tells its
 * parent that it is there; asked for a count it connects so many more, and answers when all have been greeted.
 */
const [url = ""] = process.argv.slice(2);

function connect(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { perMessageDeflate: false });
    socket.once("error", reject);
    socket.on("message", (data) => {
      const frame = JSON.parse(String(data));
      if (frame.event === "connect.challenge") socket.send(JSON.stringify({ id: "connect" }));
      else if (frame.type === "res") resolve();
    });
  });
}

process.send?.("ready");
process.on("message", async ({ count }: { count: number }) => {
  for (let made = 0; made < count; made++) await connect();
  process.send?.("connected");
});
process.on("disconnect", () => process.exit(0));
