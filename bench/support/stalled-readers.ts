import WebSocket from "ws";

/* A process with subscribers who read until they are told to stop. Started with: URL, TOKEN, COUNT. */
const [url = "", token = "", count = "0"] = process.argv.slice(2);
const sockets: WebSocket[] = [];
let closed = 0;

process.on("message", ({ ask }: { ask: string }) => {
  if (ask === "stall") for (const socket of sockets) socket.pause();
  process.send?.({ closed });
});
process.on("disconnect", () => process.exit(0));
for (let index = 0; index < Number(count); index++) sockets.push(await open());
process.send?.({ ready: true });

function open(): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/socket`, ["muster.v1.json"], {
    perMessageDeflate: false,
    skipUTF8Validation: true,
  });
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", () => {
      closed += 1;
    });
    socket.on("open", () => {
      socket.send(JSON.stringify({ id: 1, method: "hello", params: { token } }));
      socket.send(JSON.stringify({ id: 2, method: "subscribe", params: { topic: "agents" } }));
    });
    socket.on("message", (data: Buffer) => {
      if (data.toString("latin1", 0, 60).includes('"id":2')) resolve(socket);
    });
  });
}
