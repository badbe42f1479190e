import WebSocket from "ws";

/*
 * A process with one new subscriber at a time, which reads a whole snapshot. Started with: URL, TOKEN. Each message of its
 * parent begins one; it answers with how many agents came, in how many notifications, and how long that took.
 */
const [url = "", token = ""] = process.argv.slice(2);

process.on("message", () => void read());
process.on("disconnect", () => process.exit(0));
process.send?.({ ready: true });

function read(): void {
  const began = performance.now();
  const ids = new Set<string>();
  let pages = 0;
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/socket`, ["muster.v1.json"], {
    perMessageDeflate: false,
    skipUTF8Validation: true,
  });
  socket.on("open", () => {
    socket.send(JSON.stringify({ id: 1, method: "hello", params: { token } }));
    socket.send(JSON.stringify({ id: 2, method: "subscribe", params: { topic: "agents" } }));
  });
  socket.on("close", (code) => process.send?.({ agents: ids.size, pages, ms: Number.NaN, code }));
  socket.on("message", (data: Buffer) => {
    const { id, result, method, params } = JSON.parse(data.toString());
    const part = id === 2 ? result : method === "snapshot" || method === "reset" ? params : undefined;
    if (!part) return;
    pages += 1;
    for (const agent of part.items) ids.add(agent.id);
    if (part.more) return;
    socket.removeAllListeners("close");
    socket.terminate();
    process.send?.({ agents: ids.size, pages, ms: performance.now() - began });
  });
}
