import { Wire } from "../../test/support/wire.ts";

/*
 * A process with one watcher of all agents. Started with: URL, TOKEN. It says so when it has the whole snapshot, and answers
 * each message with how many agents it sees online, since when it has seen no further one (milliseconds since the epoch), and
 * how often its stream had a gap or began anew.
 */
const [url = "", token = ""] = process.argv.slice(2);
const online = new Set<string>();
let lastAt = 0;
let offset = 0;
let wrong = 0;

const wire = await Wire.open({ url, codec: "msgpack" });
await wire.hello(token);
const first = await wire.call("subscribe", { topic: "agents" });
offset = first.offset;
let isWhole = false;
see(first.items);
if (!first.more) whole();
take();
wire.socket.on("message", take);
process.on("message", () => process.send?.({ online: online.size, lastAt, wrong }));
process.on("disconnect", () => process.exit(0));

function whole(): void {
  if (!isWhole) process.send?.({ whole: true });
  isWhole = true;
}

function take(): void {
  for (const { method, params } of wire.received.splice(0)) {
    if (method === "snapshot" || method === "reset") {
      see(params.items);
      if (!params.more) whole();
    }
    if (method === "reset") {
      wrong += 1;
      offset = params.offset;
    }
    if (method !== "change") continue;
    offset += 1;
    if (params.offset !== offset) wrong += 1;
    offset = params.offset;
    see(params.upserts);
  }
}

function see(agents: { id: string; status: string }[]): void {
  const before = online.size;
  for (const { id, status } of agents)
    if (status === "online") online.add(id);
    else online.delete(id);
  if (online.size > before) lastAt = Date.now();
}
