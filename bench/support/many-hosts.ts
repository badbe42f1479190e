import { Fleet } from "../../test/support/fleet.ts";
import { Wire } from "../../test/support/wire.ts";

/*
 * A process with many agents, over as many hosts' sockets as they need. Started with: URL. Its parent first sends it the
 * agents' tokens, and is answered when all are attached; then each message makes all beat at once, and is answered when all
 * are acknowledged, with how long that took in milliseconds.
 */
const A_SOCKET = 10_000;

const [url = ""] = process.argv.slice(2);
const hosts: { wire: Wire; fleet: Fleet }[] = [];

process.on("message", async ({ tokens }: { tokens?: string[] }) => {
  if (tokens) {
    await attach(tokens);
    return process.send?.({ attached: tokens.length });
  }
  const began = performance.now();
  await Promise.all(hosts.map(({ wire, fleet }) => beat(wire, fleet)));
  process.send?.({ ms: performance.now() - began });
});
process.on("disconnect", () => process.exit(0));
process.send?.({ ready: true });

async function attach(tokens: string[]): Promise<void> {
  const shares = Array.from({ length: Math.ceil(tokens.length / A_SOCKET) }, (_, at) =>
    tokens.slice(at * A_SOCKET, (at + 1) * A_SOCKET),
  );
  hosts.push(
    ...(await Promise.all(
      shares.map(async (share) => {
        const wire = await Wire.open({ url, codec: "msgpack" });
        await wire.hello();
        return { wire, fleet: await Fleet.attach(wire, share) };
      }),
    )),
  );
}

function beat(wire: Wire, fleet: Fleet): Promise<void> {
  return new Promise((resolve, reject) => {
    const n = fleet.beatAll();
    wire.socket.on("close", () => reject(new Error("a host's socket was closed")));
    wire.socket.on("message", () => {
      for (const { method, params } of wire.received.splice(0))
        if (method === "ack" && params.n >= n) resolve();
    });
  });
}
