import WebSocket from "ws";

/*
 * A process with many subscribers of one stream. It checks that each gets every frame, in order, and measures how long they
 * took. Started with: URL, TOKEN (empty for the bare reference), COUNT, and of how many subscribers one is timed. Talks to
 * its parent by messages.
 */
const [url = "", token = "", count = "0", sampleEvery = "50"] = process.argv.slice(2);

interface Stream {
  socket: WebSocket;
  last: number;
  frames: number;
}

const streams: Stream[] = [];
let bytes = 0;
let wrong = 0;
/** When the first frame since the last "reset" came, milliseconds since the epoch. */
let firstAt = 0;
let latencies: number[] = [];

process.on("message", (message: { ask: string; value?: number }) => {
  if (message.ask === "progress")
    send({ least: Math.min(...streams.map(({ frames }) => frames)), bytes, wrong, firstAt });
  if (message.ask === "latencies") {
    send({ latencies });
    latencies = [];
  }
  if (message.ask === "reset") {
    for (const stream of streams) stream.frames = 0;
    bytes = 0;
    firstAt = 0;
    send({});
  }
});
process.on("disconnect", () => process.exit(0));

const opening = 64;
for (let first = 0; first < Number(count); first += opening)
  await Promise.all(
    Array.from({ length: Math.min(opening, Number(count) - first) }, (_, index) => open(first + index)),
  );
send({ ready: true });

function open(index: number): Promise<void> {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/socket`, ["muster.v1.json"], {
    perMessageDeflate: false,
    skipUTF8Validation: true,
  });
  const stream: Stream = { socket, last: -1, frames: 0 };
  streams.push(stream);
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("open", () => {
      if (token === "") return resolve();
      socket.send(JSON.stringify({ id: 1, method: "hello", params: { token } }));
      socket.send(JSON.stringify({ id: 2, method: "subscribe", params: { topic: "agents" } }));
    });
    socket.on("message", (data: Buffer) => {
      const head = data.toString("latin1", 0, 160);
      if (head.includes('"id":2')) {
        stream.last = offsetIn(head);
        return resolve();
      }
      if (!head.includes('"method":"change"')) {
        if (head.includes('"method":"reset"')) wrong += 1;
        return;
      }
      const offset = offsetIn(head);
      if (stream.last >= 0 && offset !== stream.last + 1) wrong += 1;
      stream.last = offset;
      stream.frames += 1;
      if (firstAt === 0) firstAt = Date.now();
      bytes += data.length;
      if (index % Number(sampleEvery) === 0) sample(data);
    });
  });
}

function offsetIn(head: string): number {
  return Number(/"offset":(\d+)/.exec(head)?.[1] ?? -1);
}

/** From the transition, which is a little before its commit, to its arrival here. */
function sample(data: Buffer): void {
  const now = Date.now();
  for (const { updated_at } of JSON.parse(data.toString()).params.upserts)
    latencies.push(now - Date.parse(updated_at));
}

function send(message: object): void {
  process.send?.(message);
}
